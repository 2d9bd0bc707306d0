// Receives callbacks with Express: `npm install`, then `node receiver.js`.
import * as fs from "node:fs";
import express from "express";
import { Webhook } from "standardwebhooks";

const callbackUrl = setting("CALLBACK_URL"); // as it stands in your submissions
const callerId = setting("CALLER_ID"); // clr_…, the caller that you submit as
const webhook = new Webhook(setting("CALLBACK_SECRET")); // whsec_…

function setting(name) {
  if (!process.env[name]) throw new Error(`${name} is not set`);
  return process.env[name];
}

// The inbox: in real life a table of your database, with a unique id. Here a file for each event,
// which is moved from one folder to the other when its work is done.
for (const folder of ["inbox", "done"]) fs.mkdirSync(folder, { recursive: true });

// Safe on disk when it returns; an id that is there already changes nothing. It does not await, so
// that of two repetitions at the same time the second sees the first.
function keep(id, body) {
  if (!/^[\w-]+$/.test(id)) throw new Error(`${id} can't be a file's name`);
  const name = `${id}.json`;
  if (fs.existsSync(`inbox/${name}`) || fs.existsSync(`done/${name}`)) return;
  fs.writeFileSync(`inbox/${id}.part`, body, { flush: true });
  fs.renameSync(`inbox/${id}.part`, `inbox/${name}`);
  const folder = fs.openSync("inbox");
  fs.fsyncSync(folder);
  fs.closeSync(folder);
}

// What is kept and not done, one after another; what fails is tried again a second later.
async function workOff() {
  for (const name of fs.readdirSync("inbox").filter((each) => each.endsWith(".json"))) {
    try {
      await work(JSON.parse(fs.readFileSync(`inbox/${name}`)));
      fs.renameSync(`inbox/${name}`, `done/${name}`); // only now
    } catch (error) {
      console.error(`${name} is not done:`, error);
    }
  }
  setTimeout(workOff, 1000);
}

// Yours. It may take long. A crash before "done" repeats it, so let it bear that.
async function work(event) {
  const { correlationId, status } = event.data;
  const line = JSON.stringify({ id: event.id, order: correlationId, status });
  await fs.promises.appendFile("orders.jsonl", `${line}\n`);
}

// The event, if it was signed with our secret, for this caller and this URL.
function verified(request) {
  try {
    const event = webhook.verify(request.body, request.headers);
    return event.callerId === callerId && event.callbackUrl === callbackUrl ? event : null;
  } catch {
    return null; // also if headers or body are garbage
  }
}

const app = express();

// The bytes as they came: JSON that was parsed and written again would not verify. The limit of
// Express itself, 100 kB, is less than a callback can have.
const raw = express.raw({ type: () => true, limit: "4mb" });

app.post("/callbacks", raw, (request, response) => {
  const event = verified(request);
  if (event === null) return response.sendStatus(401);
  keep(event.id, request.body); // if this fails the answer is a 500, and it comes again
  response.sendStatus(204);
});

app.listen(Number(process.env.PORT ?? 9000), "127.0.0.1");
workOff();
