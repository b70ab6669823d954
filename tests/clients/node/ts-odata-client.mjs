// Queries of ts-odata-client: it builds, sends, reads the envelope and follows the next links itself.

import assert from 'node:assert/strict';
import test from 'node:test';

import client from 'ts-odata-client';

import { all, assertRows, at, extended, headers, ids, referrals, service, sorted } from './server.mjs';

const { ODataQuery, ODataV4Context } = client;
const options = { requestInit: () => ({ headers }) };
const query = () => ODataQuery.forV4(referrals, options);
const one = all[Math.floor(all.length / 2)];
const middle = new Date(one.createdDateTime);
const created = (row) => Date.parse(row.createdDateTime);
const email = all.flatMap((row) => row.team.map((member) => member.email))[0];

/** Every row of a query, by its own iterator. */
async function rows(of) {
  const found = [];
  for await (const row of of) found.push(row);
  return found;
}

/** What the server said to a query that it refused: the client puts the body into the message of its error. */
async function refusal(of) {
  const error = await of.getManyAsync().then(() => assert.fail('it was answered'), (thrown) => thrown);
  return JSON.parse(error.message).error;
}

async function assertRefused(of, target) {
  const error = await refusal(of);
  assert.deepEqual([error.code, error.target], ['invalidRequest', target], JSON.stringify(error));
}

/** Both servers answer these. */
const filters = {
  'equals': [(r) => r.status.$equals('New'), (row) => row.status === 'New'],
  'notEquals': [(r) => r.status.$notEquals('Closed'), (row) => row.status !== 'Closed'],
  'equals null': [(r) => r.closedDateTime.$equals(null), (row) => row.closedDateTime === null],
  'greater and less': [
    (r) => r.details.dealValue.$greaterThan(50000).and(r.details.dealValue.$lessThanOrEqualTo(200000)),
    (row) => row.details.dealValue > 50000 && row.details.dealValue <= 200000,
  ],
  'dates': [
    (r) => r.createdDateTime.$greaterThanOrEqualTo(middle).and(r.createdDateTime.$lessThan(new Date(created(all[3])))),
    (row) => created(row) >= middle.getTime() && created(row) < created(all[3]),
  ],
  'in': [(r) => r.substatus.$in(['Won', 'Lost']), (row) => ['Won', 'Lost'].includes(row.substatus)],
  'or': [
    (r) => r.status.$equals('New').or(r.substatus.$equals('Won')),
    (row) => row.status === 'New' || row.substatus === 'Won',
  ],
  // A null is neither with the word nor without it.
  'not, from the second argument': [
    (r, { and, not }) => and(r.direction.$equals('Incoming'), not(r.name.$contains('Publishing'))),
    (row) => row.direction === 'Incoming' && row.name !== null && !row.name.includes('Publishing'),
  ],
  'contains': [(r) => r.name.$contains('Publishing'), (row) => (row.name ?? '').includes('Publishing')],
  'startsWith, as this client spells it': [
    (r) => r.customerProfile.name.$startsWith('L'),
    (row) => row.customerProfile.name.startsWith('L'),
  ],
  'endsWith': [
    (r) => r.externalReferenceId.$endsWith('4'),
    (row) => (row.externalReferenceId ?? '').endsWith('4'),
  ],
  'any': [
    (r) => r.team.$any((member) => member.email.$equals(email)),
    (row) => row.team.some((member) => member.email === email),
  ],
  'any with and': [
    (r) => r.team.$any((member) => member.email.$equals(email).and(member.lastName.$notEquals(null))),
    (row) => row.team.some((member) => member.email === email && member.lastName !== null),
  ],
  'any below a path': [
    (r) => r.customerProfile.team.$any((member) => member.lastName.$contains('o')),
    (row) => row.customerProfile.team.some((member) => (member.lastName ?? '').includes('o')),
  ],
  'one property and another': [
    (r) => r.updatedDateTime.$equals(r.createdDateTime),
    (row) => Date.parse(row.updatedDateTime) === created(row),
  ],
  'a boolean': [
    (r) => r.consent.consentToShareReferralWithMicrosoftSellers.$equals(true),
    (row) => row.consent.consentToShareReferralWithMicrosoftSellers === true,
  ],
  'a nested path': [
    (r) => r.customerProfile.address.country.$in(['US', 'PL']),
    (row) => ['US', 'PL'].includes(at(row, 'customerProfile/address/country')),
  ],
};

for (const [what, [filter, holds]] of Object.entries(filters)) {
  test(`filter: ${what}`, async () => {
    assertRows(await rows(query().filter(filter)), all.filter(holds));
  });
}

test('the iterator reads the whole collection once, newest first', async () => {
  assert.deepEqual(ids(await rows(query())), ids(all));
});

test('pages by next() keep the filter, the order and the selection', async () => {
  const selected = query()
    .filter((r) => r.status.$notEquals('New'))
    .orderBy((r) => r.createdDateTime)
    .select('id', 'createdDateTime', 'status');
  const found = [];
  let pages = 0;
  for (let page = await selected.getManyAsync(); page; page = await page.next?.()) {
    found.push(...page.value);
    pages += 1;
    for (const row of page.value) assert.deepEqual(Object.keys(row).sort(), ['createdDateTime', 'id', 'status']);
  }
  assert.equal(pages, 2);
  assertRows(found, sorted(all.filter((row) => row.status !== 'New'), 'createdDateTime'));
});

test('the count is that of all matches', async () => {
  const answer = await query().filter((r) => r.direction.$equals('Incoming')).top(3).skip(2).getManyWithCountAsync();
  const incoming = all.filter((row) => row.direction === 'Incoming');
  assert.equal(answer['@odata.count'], incoming.length);
  assertRows(answer.value, incoming.slice(2, 5));
  assert.equal(answer.next, undefined);
});

test('top beyond a page goes on and ends', async () => {
  assertRows(await rows(query().top(110)), all.slice(0, 110));
});

test('orderByDescending', async () => {
  const found = await rows(query().orderByDescending((r) => [r.updatedDateTime, r.createdDateTime]));
  const updated = found.map((row) => Date.parse(row.updatedDateTime));
  assert.deepEqual(updated, [...updated].sort((left, right) => right - left));
  assert.deepEqual(ids(found).sort(), ids(all).sort());
});

test('a projection of top-level members is asked for and mapped', async () => {
  const found = await query().select((r) => ({ key: r.id, state: r.status })).top(4).getManyAsync();
  assert.deepEqual(found.value, all.slice(0, 4).map((row) => ({ key: row.id, state: row.status })));
});

test('a context of the service root leads to the collection', async () => {
  class Referrals extends ODataV4Context {
    get referrals() {
      return this.createQuery('engagements/referrals');
    }
  }
  const { referrals: collection } = new Referrals(service, options);
  const found = await collection.filter((r) => r.status.$equals('Active')).getManyAsync();
  assertRows(found.value, all.filter((row) => row.status === 'Active'));
});

test('an unknown member is refused with its name', async () => {
  const error = await refusal(query().filter((r) => r.dealValeu.$equals(1)));
  assert.deepEqual([error.code, error.target], ['invalidRequest', '$filter']);
  assert.match(JSON.stringify(error), /dealValeu/);
});

test('a quote that the client does not double is refused, not misread', async () => {
  await assertRefused(query().filter((r) => r.name.$equals("O'Brien' or 'a' eq 'a")), '$filter');
});

test('two filters that the client puts side by side are refused, not misread', async () => {
  const glued = query().filter((r) => r.status.$equals('New')).filter((r) => r.direction.$equals('Incoming'));
  await assertRefused(glued, '$filter');
});

// What the real service does not offer.

test('extended: all', async () => {
  const everyone = query().filter((r) => {
    return r.team.$all((member) => member.email.$endsWith('.example')).and(r.status.$equals('New'));
  });
  if (!extended) return assertRefused(everyone, '$filter');
  const holds = (row) => row.status === 'New' && row.team.every((member) => (member.email ?? '').endsWith('.example'));
  return assertRows(await rows(everyone), all.filter(holds));
});

test('extended: one referral by its key', async () => {
  const answer = query().getAsync(one.id);
  if (!extended) return assert.rejects(answer, /itemNotFound/);
  return assert.equal((await answer).id, one.id);
});

test('extended: order by a nested path', async () => {
  const ordered = query().filter((r) => r.status.$equals('Closed')).orderByDescending((r) => r.details.dealValue);
  if (!extended) return assertRefused(ordered, '$orderby');
  return assertRows(await rows(ordered), sorted(all.filter((row) => row.status === 'Closed'), 'details/dealValue', -1));
});

test('extended: a nested projection', async () => {
  const projected = query().select((r) => ({ key: r.id, country: r.customerProfile.address.country })).top(4);
  if (!extended) return assertRefused(projected, '$select');
  const expected = all.slice(0, 4).map((row) => ({ key: row.id, country: row.customerProfile.address.country }));
  return assert.deepEqual((await projected.getManyAsync()).value, expected);
});

test('extended: expanded referrals', async () => {
  const expanded = query().filter((r) => r.id.$equals(one.id)).expand('relatedReferrals');
  if (!extended) return assertRefused(expanded, '$expand');
  const { value } = await expanded.getManyAsync();
  assert.deepEqual(ids(value), [one.id]);
  return assert.ok(ids(value[0].relatedReferrals).includes(one.id));
});
