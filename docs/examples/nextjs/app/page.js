import {redirect} from "next/navigation";
import {currentLogin, hub} from "../sse_trio.js";
import {LogOut} from "./logout.js";

export default async function Page() {
  const {active, room, ticket} = await currentLogin(); // 4
  if (!active) redirect("/login"); // 4
  return <>
    <script type="module" async src={`${hub}/client.js`} />{/* 4 */}
    <session-guard src={`${hub}/ws`} ticket={ticket} share="" notice="" redirect="/" />{/* 4 */}
    <h1>Hello {room}</h1>
    <LogOut />
  </>;
}
