// Queries built by odata-query and sent with fetch.

import assert from 'node:assert/strict';
import test from 'node:test';

import buildQuery, { alias, decimal, guid } from 'odata-query';

import {
  all,
  assertRefused,
  assertRows,
  at,
  everyPage,
  extended,
  get,
  headers,
  ids,
  referrals,
  sorted,
} from './server.mjs';

const one = all[Math.floor(all.length / 2)];
const other = all[7];
const middle = new Date(one.createdDateTime);
const created = (row) => Date.parse(row.createdDateTime);
const emails = (row) => row.team.map((member) => member.email);
const email = all.flatMap(emails)[0];
const text = (row, path) => at(row, path) ?? '';
const quoted = all.find((row) => text(row, 'statusReason').includes("'"));

/** Both servers answer these. */
const filters = {
  'a value': [{ status: 'New' }, (row) => row.status === 'New'],
  'two values': [{ status: 'Closed', substatus: 'Won' }, (row) => row.status === 'Closed' && row.substatus === 'Won'],
  'an array, which means and': [
    [{ direction: 'Incoming' }, { type: 'Shared' }],
    (row) => row.direction === 'Incoming' && row.type === 'Shared',
  ],
  'a text taken as it is': ["status eq 'Active'", (row) => row.status === 'Active'],
  'and': [
    { and: [{ status: 'Active' }, { direction: 'Incoming' }] },
    (row) => row.status === 'Active' && row.direction === 'Incoming',
  ],
  'or': [{ or: [{ status: 'New' }, { substatus: 'Won' }] }, (row) => row.status === 'New' || row.substatus === 'Won'],
  'not': [
    { not: { and: [{ status: 'Closed' }, { direction: 'Incoming' }] } },
    (row) => !(row.status === 'Closed' && row.direction === 'Incoming'),
  ],
  'ne': [{ status: { ne: 'Closed' } }, (row) => row.status !== 'Closed'],
  'null': [{ closedDateTime: null }, (row) => row.closedDateTime === null],
  'not null': [{ closedDateTime: { ne: null } }, (row) => row.closedDateTime !== null],
  'a boolean': [
    { 'consent/consentToShareReferralWithMicrosoftSellers': true },
    (row) => row.consent.consentToShareReferralWithMicrosoftSellers === true,
  ],
  'dates on both sides': [
    { createdDateTime: { ge: new Date(created(all.at(-1)) + 1000), lt: middle } },
    (row) => created(row) >= created(all.at(-1)) + 1000 && created(row) < middle.getTime(),
  ],
  'a date in text': [{ createdDateTime: { gt: middle.toISOString() } }, (row) => created(row) > middle.getTime()],
  'in': [{ status: { in: ['New', 'Active'] } }, (row) => ['New', 'Active'].includes(row.status)],
  'a GUID': [{ engagementId: guid(one.engagementId) }, (row) => row.engagementId === one.engagementId],
  'a GUID in text': [{ id: one.id }, (row) => row.id === one.id],
  'a GUID in capital letters': [{ id: { eq: guid(one.id.toUpperCase()) } }, (row) => row.id === one.id],
  'in of GUIDs': [{ id: { in: [guid(one.id), guid(other.id)] } }, (row) => [one.id, other.id].includes(row.id)],
  'a path with slashes': [
    { 'customerProfile/address/country': 'DE' },
    (row) => at(row, 'customerProfile/address/country') === 'DE',
  ],
  'a path of objects': [
    { customerProfile: { address: { country: { in: ['US', 'PL'] } } } },
    (row) => ['US', 'PL'].includes(at(row, 'customerProfile/address/country')),
  ],
  'a number': [{ 'details/dealValue': { ge: 100000 } }, (row) => at(row, 'details/dealValue') >= 100000],
  'numbers on both sides': [
    { details: { dealValue: { gt: 50000, le: 200000 } } },
    (row) => row.details.dealValue > 50000 && row.details.dealValue <= 200000,
  ],
  'contains': [{ name: { contains: 'Publishing' } }, (row) => text(row, 'name').includes('Publishing')],
  'startswith': [
    { 'customerProfile/name': { startswith: 'L' } },
    (row) => text(row, 'customerProfile/name').startsWith('L'),
  ],
  'endswith': [
    { externalReferenceId: { endswith: '4' } },
    (row) => text(row, 'externalReferenceId').endsWith('4'),
  ],
  'any without a condition': [{ team: { any: {} } }, (row) => row.team.length > 0],
  'any with an object': [{ team: { any: { email } } }, (row) => emails(row).includes(email)],
  'any with or inside': [
    { team: { any: { or: [{ email }, { firstName: { startswith: 'N' } }] } } },
    (row) => row.team.some((member) => member.email === email || (member.firstName ?? '').startsWith('N')),
  ],
  'not any': [{ not: { team: { any: { email } } } }, (row) => !emails(row).includes(email)],
  'any below a path': [
    { customerProfile: { team: { any: { lastName: { contains: 'o' } } } } },
    (row) => row.customerProfile.team.some((member) => (member.lastName ?? '').includes('o')),
  ],
  'any on targets': [
    { target: { any: { type: 'SolutionProfile' } } },
    (row) => row.target.some((target) => target.type === 'SolutionProfile'),
  ],
  'e-mails whatever their case': [
    { team: { any: { email: email.toUpperCase() } } },
    (row) => emails(row).includes(email),
  ],
  'brackets within brackets': [
    { and: [{ or: [{ status: 'New' }, { status: 'Active' }] }, { not: { and: [{ direction: 'Incoming' }] } }] },
    (row) => ['New', 'Active'].includes(row.status) && row.direction !== 'Incoming',
  ],
};

for (const [what, [filter, holds]] of Object.entries(filters)) {
  test(`filter: ${what}`, async () => {
    assertRows(await everyPage(referrals + buildQuery({ filter })), all.filter(holds));
  });
}

test('a quote within a text is doubled', async () => {
  const filter = { or: [{ name: "Trey's 'Research'" }, { status: 'New' }] };
  assertRows(await everyPage(referrals + buildQuery({ filter })), all.filter((row) => row.status === 'New'));
});

test('order, top, skip, count and selection in one query', async () => {
  const query = buildQuery({
    filter: { direction: 'Incoming' },
    select: ['id', 'status', 'createdDateTime'],
    orderBy: 'createdDateTime asc',
    top: 10,
    skip: 5,
    count: true,
  });
  const { status, body } = await get(referrals + query);
  assert.equal(status, 200, JSON.stringify(body));
  const incoming = all.filter((row) => row.direction === 'Incoming');
  assertRows(body.value, sorted(incoming, 'createdDateTime').slice(5, 15));
  assert.equal(body['@odata.count'], incoming.length);
  assert.equal(body['@odata.nextLink'], undefined);
  for (const row of body.value) {
    assert.deepEqual(Object.keys(row).sort(), ['createdDateTime', 'id', 'status']);
  }
});

test('two keys, each with its direction', async () => {
  const orderBy = [['updatedDateTime', 'desc'], ['createdDateTime', 'asc']];
  const rows = await everyPage(referrals + buildQuery({ orderBy }));
  const expected = sorted(sorted(all, 'createdDateTime'), 'updatedDateTime', -1);
  assert.deepEqual(
    rows.map((row) => [row.updatedDateTime, row.createdDateTime]),
    expected.map((row) => [row.updatedDateTime, row.createdDateTime]),
  );
  assert.deepEqual(ids(rows).sort(), ids(all).sort());
});

test('pages by top and skip make the whole collection once', async () => {
  const found = [];
  for (let skip = 0; ; skip += 50) {
    const { body } = await get(referrals + buildQuery({ top: 50, skip, orderBy: 'createdDateTime' }));
    found.push(...body.value);
    if (body.value.length < 50) break;
  }
  assert.deepEqual(ids(found), ids(sorted(all, 'createdDateTime')));
});

test('a date without a zone is no OData literal', async () => {
  const filter = { createdDateTime: { ge: { type: 'raw', value: '2024-01-01T00:00:00' } } };
  assertRefused(await get(referrals + buildQuery({ filter })), '$filter');
});

test('the suffix of an old decimal is refused, not misread', async () => {
  const filter = { 'details/dealValue': { eq: decimal('50000') } };
  assertRefused(await get(referrals + buildQuery({ filter })), '$filter');
});

test('an unknown member is refused with its name', async () => {
  const answer = await get(referrals + buildQuery({ filter: { dealValeu: { gt: 1 } } }));
  assertRefused(answer, '$filter');
  assert.match(JSON.stringify(answer.body), /dealValeu/);
});

// What the real service does not offer: rows from the extended server, a refusal from the strict one.

/** A query whose rows are compared where it is served. */
function additional(what, query, target, expected) {
  test(`extended: ${what}`, async () => {
    const url = referrals + buildQuery(query);
    if (extended) assertRows(await everyPage(url), expected());
    else assertRefused(await get(url), target);
  });
}

const day = (row) => new Date(row.createdDateTime);
const additionalFilters = {
  'length()': [{ 'length(name)': { gt: 40 } }, (row) => text(row, 'name').length > 40],
  'tolower()': [
    { 'tolower(name)': { contains: 'publishing' } },
    (row) => text(row, 'name').toLowerCase().includes('publishing'),
  ],
  'year()': [
    { 'year(createdDateTime)': { lt: middle.getUTCFullYear() } },
    (row) => day(row).getUTCFullYear() < middle.getUTCFullYear(),
  ],
  'month() and day()': [
    { 'month(createdDateTime)': { in: [1, 2] }, 'day(createdDateTime)': { gt: 15 } },
    (row) => [0, 1].includes(day(row).getUTCMonth()) && day(row).getUTCDate() > 15,
  ],
  'indexof()': [{ "indexof(name,'Publishing')": { ge: 0 } }, (row) => text(row, 'name').includes('Publishing')],
  'matchespattern()': [{ name: { matchespattern: '^[A-F]' } }, (row) => /^[A-F]/.test(text(row, 'name'))],
  'all': [
    { team: { all: { email: { endswith: '.example' } } }, status: 'New' },
    (row) => row.status === 'New' && row.team.every((member) => (member.email ?? '').endsWith('.example')),
  ],
  'another member, with a quote in its text': [
    { statusReason: quoted.statusReason },
    (row) => row.statusReason === quoted.statusReason,
  ],
};

for (const [what, [filter, holds]] of Object.entries(additionalFilters)) {
  additional(`filter: ${what}`, { filter }, '$filter', () => all.filter(holds));
}

const closed = all.filter((row) => row.status === 'Closed');
const closedBy = (orderBy) => ({ orderBy, filter: { status: 'Closed' } });

additional('an alias', { filter: { status: alias('state', 'Closed') } }, '@state', () => closed);
additional('order by another key', closedBy('details/dealValue desc'), '$orderby', () =>
  sorted(closed, 'details/dealValue', -1));
additional('order by a path of objects', closedBy({ customerProfile: { address: 'country' } }), '$orderby', () =>
  sorted(closed, 'customerProfile/address/country'));

test('extended: order by name', async () => {
  const url = referrals + buildQuery({ orderBy: ['name asc'] });
  if (!extended) return assertRefused(await get(url), '$orderby');
  const rows = await everyPage(url);
  assert.deepEqual(ids(rows).sort(), ids(all).sort());
  const names = rows.map((row) => row.name);
  assert.deepEqual(names, sorted(all, 'name').map((row) => row.name));
});

test('extended: a nested selection', async () => {
  const select = 'id,customerProfile/name,customerProfile/address/country';
  const answer = await get(referrals + buildQuery({ select, top: 5 }));
  if (!extended) return assertRefused(answer, '$select');
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  const expected = all.slice(0, 5).map((row) => ({
    id: row.id,
    customerProfile: { name: row.customerProfile.name, address: { country: row.customerProfile.address.country } },
  }));
  assert.deepEqual(answer.body.value, expected);
});

test('extended: expanded referrals with options of their own', async () => {
  const filter = { engagementId: guid(one.engagementId) };
  const options = { select: ['id', 'status'], top: 3, orderBy: 'id asc', filter: { status: { ne: 'New' } } };
  const expand = { relatedReferrals: options };
  const answer = await get(referrals + buildQuery({ filter, select: ['id'], expand }));
  if (!extended) return assertRefused(answer, '$expand');
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  const related = await everyPage(referrals + buildQuery({ filter }));
  const inner = sorted(related, 'id').filter((row) => row.status !== 'New').slice(0, 3);
  const expected = inner.map(({ id, status }) => ({ id, status }));
  assert.ok(answer.body.value.length > 0);
  for (const row of answer.body.value) assert.deepEqual(row.relatedReferrals, expected);
});

const counted = (rows, of) => {
  const counts = new Map();
  for (const row of rows) counts.set(of(row), (counts.get(of(row)) ?? 0) + 1);
  return counts;
};

test('extended: group by status with a count', async () => {
  const transform = { groupBy: { properties: ['status'], transform: { aggregate: '$count as Number' } } };
  const answer = await get(referrals + buildQuery({ transform }));
  if (!extended) return assertRefused(answer, '$apply');
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  const groups = answer.body.value.map((row) => [row.status, row.Number]);
  assert.deepEqual(new Map(groups.sort()), new Map([...counted(all, (row) => row.status)].sort()));
});

test('extended: filter, group, aggregate, filter', async () => {
  const transform = [
    { filter: { 'details/dealValue': { gt: 0 } } },
    {
      groupBy: {
        properties: ['direction', 'status'],
        transform: {
          aggregate: [
            { 'details/dealValue': { with: 'sum', as: 'Total' } },
            { id: { with: 'countdistinct', as: 'Deals' } },
            { 'details/dealValue': { with: 'max', as: 'Largest' } },
          ],
        },
      },
    },
    { filter: { Deals: { ge: 5 } } },
  ];
  const answer = await get(referrals + buildQuery({ transform }));
  if (!extended) return assertRefused(answer, '$apply');
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  const groups = new Map();
  for (const row of all.filter((each) => each.details.dealValue > 0)) {
    const key = `${row.direction} ${row.status}`;
    groups.set(key, [...(groups.get(key) ?? []), row.details.dealValue]);
  }
  const expected = [...groups]
    .filter(([, values]) => values.length >= 5)
    .map(([key, values]) => [key, values.length, Math.max(...values), values.reduce((sum, value) => sum + value, 0)]);
  const found = answer.body.value.map((row) => [`${row.direction} ${row.status}`, row.Deals, row.Largest, row.Total]);
  assert.ok(expected.length > 1);
  assert.deepEqual(found.sort(), expected.sort());
});

test('extended: the number alone', async () => {
  const answer = await get(referrals + buildQuery({ count: { status: 'Active' } }));
  if (!extended) return assert.equal(answer.status, 404);
  assert.equal(answer.status, 200);
  assert.equal(Number(answer.body), all.filter((row) => row.status === 'Active').length);
});

test('extended: a key in parentheses', async () => {
  for (const key of [guid(one.id), one.id, { id: guid(one.id) }]) {
    const answer = await get(referrals + buildQuery({ key }));
    if (!extended) assert.equal(answer.status, 404);
    else assert.deepEqual([answer.status, answer.body.id], [200, one.id], JSON.stringify(key));
  }
});

test('extended: a format', async () => {
  const answer = await get(referrals + buildQuery({ format: 'json', top: 1 }));
  if (!extended) return assertRefused(answer, '$format');
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  assert.deepEqual(ids(answer.body.value), ids(all.slice(0, 1)));
});

test('without a token nothing is answered', async () => {
  const answer = await fetch(referrals + buildQuery({ filter: { status: 'New' } }));
  assert.equal(answer.status, 401);
  assert.ok(headers.Authorization);
});
