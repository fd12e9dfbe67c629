// A composable for Vue: a guard as long as the component is in the page.

import {onMounted, shallowReadonly, shallowRef, toValue, watch} from "vue";
import {STOPPED, follow, identify} from "./following.js";

/** Be a member of a room; null instead of options: of none. Return the state, as a ref. */
export function useSessionGuard(options, onTerminated) {
  const status = shallowRef(STOPPED);
  const latest = () => ({options: toValue(options), onTerminated});
  const renew = (identity, _, onCleanup) => {
    status.value = STOPPED;
    if (identity === null) return;
    onCleanup(follow(latest, (next) => (status.value = next)));
  };
  // A server renders without it.
  onMounted(() => watch(() => identify(toValue(options)), renew, {immediate: true}));
  return shallowReadonly(status);
}
