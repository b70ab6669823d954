-- The first schema. Identifiers are their sixteen bytes (four for `msft`), instants are 100 ns steps since 1970,
-- closed lists are their place in the reference (rows.rs pins the numbers). Never edited after a release.

-- One row per referral; the document comes last, so that the small columns are read without it.
-- A referral's id is unique over all owners, so one index finds it with or without its owner.
-- `search_digest` tells the words in `search` apart; NULL where they are not in there.
-- `class` is direction, type, qualification, status and substatus in one number (class.rs).
CREATE TABLE referral (
  row INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE,
  owner BLOB NOT NULL,
  engagement BLOB NOT NULL,
  version INTEGER NOT NULL,
  etag BLOB NOT NULL,
  status INTEGER NOT NULL,
  substatus INTEGER NOT NULL,
  direction INTEGER NOT NULL,
  qualification INTEGER NOT NULL,
  type INTEGER NOT NULL,
  class INTEGER NOT NULL,
  offer_lead INTEGER NOT NULL,
  shared_with_microsoft INTEGER NOT NULL,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  expires INTEGER,
  accepted INTEGER,
  sender BLOB,
  country TEXT,
  team BLOB,
  search_digest INTEGER,
  document BLOB NOT NULL
) STRICT;

-- The ways into an owner's referrals. A write that changes texts alone touches only `referral_last_updated`.
CREATE INDEX referral_newest_first ON referral (owner, offer_lead, created DESC, id);

CREATE INDEX referral_by_class ON referral (owner, offer_lead, class, created DESC, id);

-- What connectors poll for is one range of this: a class without its type and qualification (class.rs).
CREATE INDEX referral_by_standing ON referral (owner, offer_lead, class & 1009, created DESC, id);

CREATE INDEX referral_last_updated ON referral (owner, offer_lead, updated DESC, id, class, created);

CREATE INDEX referral_by_country ON referral (owner, offer_lead, country, created DESC, id, class)
WHERE country IS NOT NULL;

CREATE INDEX referral_of_engagement ON referral (engagement, created, id);

-- What may still expire: status 1 is `New`.
CREATE INDEX referral_expiring ON referral (expires, id)
WHERE status = 1 AND expires IS NOT NULL;

-- What the search index lacks: nothing, unless it was switched off.
CREATE INDEX referral_not_searchable ON referral (row)
WHERE search_digest IS NULL;

-- The words of each referral, by its row, each with its owner before it (search.rs): the tokenizer only splits.
CREATE VIRTUAL TABLE search USING fts5(
  words,
  content = '',
  contentless_delete = 1,
  tokenize = 'ascii'
);

-- How many referrals an owner has of each class, and of each class in each country; rows may stand at 0.
CREATE TABLE tally (
  owner BLOB NOT NULL,
  offer_lead INTEGER NOT NULL,
  class INTEGER NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (owner, offer_lead, class)
) STRICT, WITHOUT ROWID;

CREATE TABLE country_tally (
  owner BLOB NOT NULL,
  offer_lead INTEGER NOT NULL,
  country TEXT NOT NULL,
  class INTEGER NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (owner, offer_lead, country, class)
) STRICT, WITHOUT ROWID;

-- The list of a Referral User: whose team a folded e-mail is on, in the order of the list. `referral` is the row.
CREATE TABLE team_member (
  owner BLOB NOT NULL,
  email TEXT NOT NULL,
  offer_lead INTEGER NOT NULL,
  created INTEGER NOT NULL,
  id BLOB NOT NULL,
  referral INTEGER NOT NULL,
  PRIMARY KEY (owner, email, offer_lead, created DESC, id)
) STRICT, WITHOUT ROWID;

-- The news, in commit order; positions are counted per organization from 1, without gaps.
CREATE TABLE change_log (
  sequence INTEGER PRIMARY KEY,
  organization BLOB NOT NULL,
  position INTEGER NOT NULL,
  referral BLOB NOT NULL,
  engagement BLOB NOT NULL,
  version INTEGER NOT NULL,
  action INTEGER NOT NULL,
  at INTEGER NOT NULL,
  actor_organization BLOB,
  actor_user TEXT,
  changes BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX change_log_of_organization ON change_log (organization, position);

CREATE TABLE answer (
  row INTEGER PRIMARY KEY,
  organization BLOB NOT NULL,
  digest BLOB NOT NULL,
  remembered_at INTEGER NOT NULL,
  status INTEGER NOT NULL,
  request_digest BLOB NOT NULL,
  content BLOB NOT NULL,
  UNIQUE (digest, organization)
) STRICT;

CREATE INDEX answer_oldest_first ON answer (remembered_at);

CREATE TABLE organization (
  id BLOB NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  issuer TEXT NOT NULL,
  tenant TEXT,
  partner_id TEXT
) STRICT, WITHOUT ROWID;

-- `place` keeps the order in which the locations were given.
CREATE TABLE organization_location (
  organization BLOB NOT NULL,
  place INTEGER NOT NULL,
  location TEXT NOT NULL,
  PRIMARY KEY (organization, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE assignment (
  organization BLOB NOT NULL,
  identity TEXT NOT NULL,
  role INTEGER NOT NULL,
  PRIMARY KEY (organization, identity)
) STRICT, WITHOUT ROWID;

CREATE TABLE setting (
  name TEXT NOT NULL PRIMARY KEY,
  value BLOB NOT NULL
) STRICT;
