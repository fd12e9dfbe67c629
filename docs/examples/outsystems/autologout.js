// The JavaScript node in the OnReady action of the block AutoLogout (step 5 of README.md).
// Its input parameters: Hub, Ticket, and Place, the Id of an empty container in the block.
// Its client action: RaiseSessionExpired(Reason, Session), which triggers the block's event.
const guard = document.createElement("session-guard");
guard.setAttribute("src", `${$parameters.Hub}/ws`);
guard.setAttribute("ticket", $parameters.Ticket);
guard.setAttribute("share", "");
guard.addEventListener("session-expired", (event) => {
  event.preventDefault(); // the event's handler logs out, and not the element
  $actions.RaiseSessionExpired(event.detail.reason, guard.guard.session);
});
document.getElementById($parameters.Place).append(guard);

if (!document.querySelector("script[data-sse-trio]")) {
  const script = document.createElement("script");
  script.type = "module";
  script.src = `${$parameters.Hub}/client.js`;
  script.dataset.sseTrio = "";
  document.head.append(script);
}
