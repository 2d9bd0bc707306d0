// A remote worker in JavaScript (Node.js 18 or newer, nothing to install): it leases jobs of one
// type, does them, and says what came of them. It goes on until it is stopped; with --once it ends
// after one job.
//
//   DISPATCHER_URL      the service (http://127.0.0.1:8080 without it)
//   DISPATCHER_API_KEY  a key with the role worker: dispatcher callers create NAME --role worker
//                       (`serve --dev` needs none)

const url = process.env.DISPATCHER_URL || "http://127.0.0.1:8080";
const key = process.env.DISPATCHER_API_KEY;
const types = ["text.reverse"];
const leaseSeconds = 30;

const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

// What could not be sent, or met a service that is starting, is tried again: the same said twice is
// fine.
async function post(path, body, headers = {}) {
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await fetch(url + path, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          ...(key ? { authorization: `Bearer ${key}` } : {}),
          ...headers,
        },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(60_000),
      });
      if (answer.status < 500 || attempt === 5) {
        return { status: answer.status, body: await answer.json().catch(() => ({})) };
      }
    } catch (error) {
      if (attempt === 5) throw error;
    }
    await sleep(attempt);
  }
}

// The work itself. `tell` sends how far it is; `signal` says when to stop.
async function reverse(text, tell, signal) {
  if (typeof text !== "string") {
    throw Object.assign(new Error("The input is no text."), { code: "no-text" });
  }
  await tell({ current: 1, total: 2, message: "reversing" });
  signal.throwIfAborted();
  return [...text].reverse().join("");
}

async function work(lease) {
  const path = `/v1/leases/${lease.id}`;
  const stop = new AbortController();
  const beat = async (progress) => {
    const { status, body } = await post(`${path}/heartbeat`, progress ? { progress } : {});
    if (status === 409 || body.cancelRequested) stop.abort(new Error("to be stopped"));
  };
  const beats = setInterval(() => beat().catch(() => {}), (leaseSeconds * 1000) / 3);
  let said;
  try {
    const result = await reverse(lease.input, beat, stop.signal);
    said = await post(`${path}/complete`, { result });
  } catch (error) {
    const told = { code: error.code ?? "worker-error", detail: String(error.message) };
    said = await post(`${path}/fail`, { error: told, retriable: error.code === undefined });
  } finally {
    clearInterval(beats);
  }
  console.error(`${lease.id}: ${said.status}`);
}

for (;;) {
  const { status, body } = await post("/v1/leases", { types, leaseSeconds }, { prefer: "wait=30" });
  if (status !== 200) {
    console.error(`no jobs to be had: ${status} ${body.detail ?? ""}`);
    await sleep(5);
    continue;
  }
  for (const lease of body.leases) await work(lease);
  if (process.argv.includes("--once") && body.leases.length) break;
}
