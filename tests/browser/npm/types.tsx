// Every use of the hook, the composable and the element that their types should allow, and some
// that they should not. A test has the TypeScript compiler read it; nothing runs it.

import {ref} from "vue";
import {useSessionGuard} from "sse-trio/react";
import {useSessionGuard as useInVue} from "sse-trio/vue";

const url = "wss://sessions.example.com/ws";

export function Guarded({ticket}: {ticket: string | null}) {
  const status = useSessionGuard(ticket ? {url, ticket} : null, ({reason}) => location.assign(`/login?${reason}`));
  if (status.state === "offline") return <p>{status.detail.message}</p>;
  // @ts-expect-error
  status.state = "stopped";
  return (
    <session-guard src={url} room="u1" session="s1" share notice logout="/logout">
      {status.state}
    </session-guard>
  );
}

// @ts-expect-error
useSessionGuard({url});
// @ts-expect-error
export const without = <session-guard room="u1" />;

useInVue(ref({url, room: "u1"}));
useInVue(() => null);
const status = useInVue({url, ticket: async () => "a ticket"}, ({detail}) => detail?.["device"]);
if (status.value.state === "joined") status.value.detail.epoch.toFixed();
void (status.value.transport === "events");
