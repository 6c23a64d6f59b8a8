// The DAX client for JavaScript, driven by lines: {"call": "GetItem", "input": {...}} on standard input, and a line with what came of it
// on standard output. Bytes are {"$bytes": "base64"}, sets are {"$set": [...]}.
'use strict';
const [, , folder, endpoint, region] = process.argv;
const { Dax } = require(`${folder}/node_modules/@amazon-dax-sdk/client-dax`);
const credentials = { accessKeyId: process.env.DAX_KEY, secretAccessKey: process.env.DAX_SECRET };
const client = new Dax({ endpoints: [endpoint], region, credentials, requestTimeout: 20000 });

const read = (name, value) => (value && value.$bytes !== undefined ? Buffer.from(value.$bytes, 'base64') : value);
const write = (name, value) => {
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('base64') };
  if (value && value.type === 'Buffer') return { $bytes: Buffer.from(value.data).toString('base64') };
  if (value instanceof Set) return [...value];
  return value;
};
// JSON.stringify calls toJSON of a Buffer first.
delete Buffer.prototype.toJSON;

const answer = async (line) => {
  const { call, input } = JSON.parse(line, read);
  const method = call[0].toLowerCase() + call.slice(1);
  try {
    return { ok: await client[method](input) };
  } catch (error) {
    const { name, code, message, cancellationReasons } = error;
    return { error: name && name !== 'Error' ? name : code, message, cancellationReasons };
  }
};

const lines = require('readline').createInterface({ input: process.stdin });
let turn = Promise.resolve();
lines.on('line', (line) => {
  turn = turn.then(() => answer(line)).then((result) => process.stdout.write(JSON.stringify(result, write) + '\n'));
});
lines.on('close', () => turn.then(() => process.exit(0)));
