// One sender of nodemailer.py: a pool that is never left without a message, as nodemailer's documentation has it for bulk.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [, , home, file] = process.argv;
const nodemailer = createRequire(`${home}/`)("nodemailer");
const job = JSON.parse(readFileSync(file, "utf8"));

const compiled = (template) => template.split(/{{ (\w+) }}/);
const merged = (slots, fields) => slots.map((slot, place) => (place % 2 ? fields[slot] : slot)).join("");
const subject = compiled(job.subject);
const text = compiled(job.text);

const pool = nodemailer.createTransport({
  pool: true,
  host: job.host,
  port: job.port,
  secure: false,
  requireTLS: job.tls,
  ignoreTLS: !job.tls,
  tls: { rejectUnauthorized: false },
  maxConnections: job.connections,
  maxMessages: Infinity,
  ...(job.key && { dkim: { domainName: job.domain, keySelector: job.selector, privateKey: job.key } }),
});

const failed = (error) => {
  if (error) {
    console.error(error.message);
    process.exit(1);
  }
};

let next = 0;
const feed = () => {
  while (pool.isIdle() && next < job.readers.length) {
    const reader = job.readers[next++];
    const to = { name: reader.name, address: reader.to };
    const from = { name: "Bench", address: job.sender };
    pool.sendMail({ from, to, subject: merged(subject, reader), text: merged(text, reader) }, failed);
  }
};

createInterface({ input: process.stdin }).once("line", () => {
  pool.on("idle", feed);
  feed();
});
console.log("ready");
