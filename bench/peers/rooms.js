// What every peer in JavaScript does for a notify, whatever its library: the hub's job, in short.
"use strict";

const KEY = "the benchmark's authkey";

class Rooms {
  // With `apart`, members may be at other nodes, which nobody knows here.
  constructor({ apart = false } = {}) {
    this.apart = apart;
  }

  rooms = new Map();
  epochs = new Map();

  join(room, session, member) {
    let sessions = this.rooms.get(room);
    if (!sessions) this.rooms.set(room, (sessions = new Map()));
    let members = sessions.get(session);
    if (!members) sessions.set(session, (members = new Set()));
    members.add(member);
    return { type: "joined", room, session, epoch: this.epochs.get(room) ?? 0, heartbeat: 25 };
  }

  leave(room, session, member) {
    const sessions = this.rooms.get(room);
    const members = sessions?.get(session);
    if (!members) return;
    members.delete(member);
    if (!members.size) sessions.delete(session);
    if (!sessions.size) this.rooms.delete(room);
  }

  // End everybody of a room but the sender: `send` is given all who are to be told, and what.
  notify(body, send) {
    const { room, key, sender } = JSON.parse(body);
    if (key !== KEY) return [401, "{}"];
    const epoch = (this.epochs.get(room) ?? 0) + 1;
    this.epochs.set(room, epoch);
    const others = [];
    const kept = new Map();
    for (const [session, members] of this.rooms.get(room) ?? []) {
      if (session === sender) kept.set(session, members);
      else others.push(...members);
    }
    this.rooms.set(room, kept);
    const terminate =
      { type: "terminate", room, epoch, reason: "login", detail: null, reconnect: false };
    if (others.length || this.apart) send(others, terminate, sender);
    const terminated = others.length;
    return [200, JSON.stringify({ room, epoch, terminated, acked: 0, pending: terminated })];
  }
}

// An HTTP server that takes notifies.
function listen(http, port, rooms, send) {
  http.on("request", (request, response) => {
    if (request.url !== "/notify") return;
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      const [status, answer] = rooms.notify(Buffer.concat(parts).toString(), send);
      const length = Buffer.byteLength(answer);
      response.writeHead(status, { "Content-Type": "application/json", "Content-Length": length });
      response.end(answer);
    });
  });
  http.keepAliveTimeout = 3600e3;
  http.listen({ port, host: "127.0.0.1", backlog: 65535 });
}

module.exports = { Rooms, listen };
