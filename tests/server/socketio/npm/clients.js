// Real clients of Socket.IO, driven by lines of JSON: {"open": [version, url, options]} makes one,
// {"emit": [...]} and {"call": "connect"} are for the one that is named by "id". What happens to a client
// is written as {"id", "event", "arguments"}.
const clients = new Map()

function tell(id, event, ...args) {
  process.stdout.write(JSON.stringify({ id, event, arguments: args }) + "\n")
}

function open(id, [version, url, options]) {
  const { io } = require(`client-${version}`)
  const socket = (io ?? require(`client-${version}`))(url, { forceNew: true, ...options })
  clients.set(id, socket)
  socket.on("connect", () => tell(id, "connect", socket.id))
  socket.on("disconnect", (reason) => tell(id, "disconnect", reason))
  // Clients 2.x call an answer of the server an error.
  for (const name of ["connect_error", "error"]) {
    socket.on(name, (error) => tell(id, name, error?.message ?? error, error?.data ?? null))
  }
  for (const name of ["joined", "terminate", "heartbeat"]) {
    socket.on(name, (members) => tell(id, name, members))
  }
  const manager = socket.io
  for (const name of ["reconnect_attempt", "reconnect"]) {
    manager.on(name, () => tell(id, name))
  }
}

function run({ id, open: opening, emit, ask, call }) {
  if (opening) open(id, opening)
  const socket = clients.get(id)
  if (emit) socket.emit(...emit)
  if (ask) socket.emit(...ask, (answer) => tell(id, "answer", answer))
  if (call === "transport") tell(id, "transport", socket.io.engine.transport.name)
  // Each of its timers and events looks at the first of these before it connects again.
  else if (call === "resting") {
    const { skipReconnect, readyState, _readyState } = socket.io
    tell(id, "resting", skipReconnect && (readyState ?? _readyState) === "closed")
  }
  else if (call === "binary") socket.emit("picture", Buffer.from("picture"))
  else if (call) socket[call]()
}

let rest = ""
process.stdin.on("data", (data) => {
  const lines = (rest + data).split("\n")
  rest = lines.pop()
  for (const line of lines) run(JSON.parse(line))
})
process.stdin.on("end", () => process.exit(0))
