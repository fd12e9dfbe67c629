import type {DefineComponent, MaybeRefOrGetter, ShallowRef} from "vue";
import type {SessionGuardOptions, TerminatedDetail} from "./sse-trio.js";
import type {SessionGuardAttributes, Status} from "./status.js";

export type {Status};

/**
 * Be a member of a room as long as the component is in the page; null instead of options: of none.
 * Other options begin anew.
 */
export function useSessionGuard(
  options: MaybeRefOrGetter<SessionGuardOptions | null>,
  onTerminated?: (detail: TerminatedDetail) => unknown,
): Readonly<ShallowRef<Status>>;

declare module "vue" {
  interface GlobalComponents {
    "session-guard": DefineComponent<SessionGuardAttributes>;
  }
}
