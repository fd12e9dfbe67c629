// A hook for React: a guard as long as the component is in the page.

import {useEffect, useRef, useState} from "react";
import {STOPPED, follow, identify} from "./following.js";

/** Be a member of a room; null instead of options: of none. Return the state. */
export function useSessionGuard(options, onTerminated) {
  const [status, setStatus] = useState(STOPPED);
  const latest = useRef(null);
  useEffect(() => {
    latest.current = {options, onTerminated};
  });
  useEffect(() => {
    if (!latest.current.options) return undefined;
    const stop = follow(() => latest.current, setStatus);
    return () => {
      stop();
      setStatus(STOPPED);
    };
  }, [identify(options)]);
  return status;
}
