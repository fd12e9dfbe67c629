import type {ErrorDetail, JoinedDetail, OfflineDetail, State, TerminatedDetail, Transport} from "./sse-trio.js";

/**
 * How things stand, with the detail of the event that led there, which is null while there was none;
 * and how the guard is connected, which is null if it is not, or by another tab.
 */
export type Status = {readonly transport: Transport | null} & (
  | {readonly state: "stopped" | "connecting"; readonly detail: null}
  | {readonly state: "joined"; readonly detail: JoinedDetail}
  | {readonly state: "offline"; readonly detail: OfflineDetail}
  | {readonly state: "terminated"; readonly detail: TerminatedDetail}
  | {readonly state: "refused"; readonly detail: ErrorDetail}
);

/** The attributes of `<session-guard>`; what they are for is in docs/browser.md. */
export interface SessionGuardAttributes {
  src: string;
  room?: string;
  session?: string;
  ticket?: string;
  share?: boolean | "";
  logout?: string;
  csrf?: string;
  redirect?: string;
  notice?: boolean | "";
  conceal?: boolean | "";
}
