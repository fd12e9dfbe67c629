import type {DetailedHTMLProps, HTMLAttributes} from "react";
import type {SessionGuardElement, SessionGuardOptions, TerminatedDetail} from "./sse-trio.js";
import type {SessionGuardAttributes, Status} from "./status.js";

export type {Status};

/**
 * Be a member of a room as long as the component is in the page; null instead of options: of none.
 * Other options begin anew. A `ticket` that is a function may be another one at each rendering.
 */
export function useSessionGuard(
  options: SessionGuardOptions | null,
  onTerminated?: (detail: TerminatedDetail) => unknown,
): Status;

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "session-guard": DetailedHTMLProps<HTMLAttributes<SessionGuardElement>, SessionGuardElement> &
        SessionGuardAttributes;
    }
  }
}
