// What each session starts from: the address, a token, and the whole collection, read page by page without a library.
// crates/cosell/tests/clients.rs starts the server and sets the environment.

import assert from 'node:assert/strict';

function setting(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run this through cargo test -p cosell --test clients`);
  return value;
}

export const service = `${setting('SERVER_URL')}/v1.0/`;
export const referrals = `${service}engagements/referrals`;
export const headers = { Authorization: `Bearer ${setting('SERVER_TOKEN')}` };
/** Whether the server also offers what the real service does not. */
export const extended = setting('SERVER_MODE') === 'extended';

/** One GET: the status, and the body as JSON or text. */
export async function get(url) {
  const response = await fetch(url, { headers });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json');
  return { status: response.status, body: isJson ? JSON.parse(text) : text };
}

/** The rows of a list and of every page after it. */
export async function everyPage(url) {
  const rows = [];
  let link = url;
  for (let page = 0; link; page += 1) {
    assert.ok(page < 20, 'the next links do not end');
    const { status, body } = await get(link);
    assert.equal(status, 200, `${link}: ${JSON.stringify(body)}`);
    rows.push(...body.value);
    link = body['@odata.nextLink'];
  }
  return rows;
}

/** Every referral of the caller, newest first: what the answers to queries are compared with. */
export const all = await everyPage(referrals);

export const ids = (rows) => rows.map((row) => row.id);

/** The same rows in the same order; some of the collection, neither nothing nor all. */
export function assertRows(rows, expected) {
  assert.ok(expected.length > 0 && expected.length < all.length, `${expected.length} rows would show nothing`);
  assert.deepEqual(ids(rows), ids(expected));
}

/** A refusal in the shape of the contract that names the option. */
export function assertRefused({ status, body }, target) {
  assert.equal(status, 400, JSON.stringify(body));
  assert.deepEqual(Object.keys(body), ['error']);
  assert.equal(body.error.code, 'invalidRequest');
  assert.equal(body.error.target, target);
  assert.ok(body.error.message.length > 0);
}

/** The value below a path such as `customerProfile/address/country`; null where a member on the way is null. */
export const at = (row, path) => path.split('/').reduce((value, name) => value?.[name] ?? null, row);

/** Rows by a value, nulls first as OData has it; equal ones by id. */
export function sorted(rows, path, direction = 1) {
  const key = (row) => {
    const value = at(row, path);
    return path.endsWith('DateTime') && value !== null ? Date.parse(value) : value;
  };
  const compare = (left, right) => {
    if (left === right) return 0;
    if (left === null || right === null) return left === null ? -1 : 1;
    return left < right ? -1 : 1;
  };
  return [...rows].sort((a, b) => direction * compare(key(a), key(b)) || compare(a.id, b.id));
}
