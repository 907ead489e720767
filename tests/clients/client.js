// Drives a node with clients from npm: `node client.js PORT USER PASSWORD`. Says what came back as one JSON object.
"use strict";

const jayson = require("jayson/promise");
const WebSocket = require("ws");

const [port, user, password] = process.argv.slice(2);
const place = { host: "127.0.0.1", port: Number(port) };
const login = "Basic " + Buffer.from(user + ":" + password).toString("base64");
const client = jayson.client.http({ ...place, headers: { Authorization: login } });
const stranger = jayson.client.http(place);

class Follower {
  // A WebSocket whose messages are taken one after the other.
  constructor() {
    this.socket = new WebSocket(`ws://127.0.0.1:${port}/events`, { headers: { Authorization: login } });
    this.messages = [];
    this.waiting = [];
    this.closed = new Promise((resolve) => {
      this.socket.on("close", (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    this.socket.on("message", (data) => {
      this.messages.push(JSON.parse(data.toString()));
      for (const wake of this.waiting.splice(0)) wake();
    });
  }

  opened() {
    return new Promise((resolve, reject) => {
      this.socket.once("open", resolve);
      this.socket.once("error", reject);
    });
  }

  ask(message) {
    this.socket.send(JSON.stringify(message));
    return this.until((answer) => answer.id === message.id);
  }

  async until(wanted) {
    for (let place = 0; ; ) {
      while (place < this.messages.length) {
        if (wanted(this.messages[place])) return this.messages[place];
        place += 1;
      }
      await new Promise((resolve) => this.waiting.push(resolve));
    }
  }

  events() {
    return this.messages.filter((message) => message.op === undefined);
  }
}

function refused(path, headers) {
  // The HTTP status with which a handshake is answered that is not accepted.
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers });
    socket.on("unexpected-response", (request, response) => {
      request.destroy();
      resolve(response.statusCode);
    });
    socket.on("open", () => reject(new Error("it was accepted")));
    socket.on("error", () => undefined);
  });
}

async function calls() {
  const hash = (await client.request("getblockhash", [0])).result;
  const batch = await client.request([
    client.request("getblockhash", { height: 0 }, undefined, false),
    client.request("getblockcount", [], null, false),
    client.request("nosuch", [], undefined, false),
  ]);
  return {
    hash,
    byName: batch[0].result,
    batch: batch.map((answer) => Object.keys(answer).sort()),
    unknown: batch[batch.length - 1].error,
    badArgument: (await client.request("getblockhash", ["x"])).error,
    height: (await client.request("getblockcount", [])).result,
    stranger: await stranger.request("getblockcount", []).then(
      () => 200,
      (error) => error.code
    ),
  };
}

async function events() {
  const first = new Follower();
  await first.opened();
  const subscribed = await first.ask({ op: "subscribe", id: 1, types: ["transaction"], after: "newest", window: 100 });
  const address = (await client.request("getnewaddress", [])).result;
  const txid = (await client.request("sendtoaddress", [address, 1.25])).result;
  const final = await first.until((message) => message.type === "transaction.final" && message.data.txid === txid);
  const acknowledged = await first.ask({ op: "ack", id: 2, cursor: final.cursor });
  const pong = new Promise((resolve) => first.socket.once("pong", (data) => resolve(data.toString())));
  first.socket.ping("here");
  const nonsense = await first.ask({ op: "nonsense", id: 3 });
  const answered = await pong;
  first.socket.close(1000);
  const closed = await first.closed;

  const second = new Follower();
  await second.opened();
  await second.ask({ op: "subscribe", id: 4, types: ["transaction"], after: final.cursor });
  const confirmed = await second.until(
    (message) => message.type === "transaction.confirmed" && message.data.txid === txid
  );
  const again = second.events().filter((event) => event.sequence <= final.sequence).length;
  second.socket.close(1000);
  await second.closed;
  return {
    subscribed: subscribed.op,
    acknowledged: acknowledged.op,
    nonsense: nonsense.op,
    answered,
    closed,
    // What came to the first behind its cursor comes to the second once more: the block may have been quicker than the close.
    states: [...first.events().filter((event) => event.sequence <= final.sequence), ...second.events()].filter((event) => event.data.txid === txid).map((event) => event.type),
    received: final.data.addresses.filter((each) => each.address === address).map((each) => each.received),
    height: confirmed.data.height,
    again,
    withoutLogin: await refused("/events", {}),
    fromPage: await refused("/events", { Authorization: login, Origin: "https://elsewhere.example" }),
  };
}

const late = new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error("not done within 110 s")), 110_000).unref();
});
Promise.race([Promise.all([calls(), events()]), late]).then(
  ([called, followed]) => process.stdout.write(JSON.stringify({ called, followed })),
  (error) => {
    process.stderr.write(String(error.stack || JSON.stringify(error)));
    process.exit(1);
  }
);
