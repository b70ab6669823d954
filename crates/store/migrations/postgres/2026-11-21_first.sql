-- The first schema. Identifiers are their sixteen bytes (four for `msft`), instants are 100 ns steps since 1970,
-- closed lists are their place in the reference, `class` is five of them in one number (class.rs). Texts of strangers
-- are their UTF-8 bytes: `text` cannot hold U+0000, and bytes compare by code points in every locale. Never edited
-- after a release.
--
-- The owner leads every key, so that the tables may be spread by it. Two ways cross owners: `referral_directory`,
-- which tells the owner of an id and the referrals of an engagement, and `referral_expiring`.

-- One row per referral. `team` is a JSON array of e-mails.
CREATE TABLE referral (
  owner bytea NOT NULL,
  id bytea NOT NULL,
  engagement bytea NOT NULL,
  version bigint NOT NULL,
  etag bytea NOT NULL,
  class smallint NOT NULL,
  status smallint NOT NULL,
  offer_lead boolean NOT NULL,
  shared_with_microsoft boolean NOT NULL,
  created bigint NOT NULL,
  updated bigint NOT NULL,
  expires bigint,
  accepted bigint,
  sender bytea,
  country bytea,
  team bytea,
  document bytea NOT NULL,
  PRIMARY KEY (owner, id)
);

-- The ways into an owner's referrals.
CREATE INDEX referral_newest_first ON referral (owner, offer_lead, created DESC, id);

CREATE INDEX referral_by_class ON referral (owner, offer_lead, class, created DESC, id);

CREATE INDEX referral_last_updated ON referral (owner, offer_lead, updated DESC, id);

CREATE INDEX referral_by_country ON referral (owner, offer_lead, country, created DESC, id)
WHERE country IS NOT NULL;

-- What may still expire: status 1 is `New`.
CREATE INDEX referral_expiring ON referral (expires, id)
WHERE status = 1 AND expires IS NOT NULL;

-- The words by which `$search` finds a referral; written only when they change.
CREATE TABLE referral_words (
  owner bytea NOT NULL,
  id bytea NOT NULL,
  words text COLLATE "C" NOT NULL,
  PRIMARY KEY (owner, id)
);

-- Whose a referral is, and what belongs to an engagement. An id is taken once over all owners.
CREATE TABLE referral_directory (
  id bytea NOT NULL PRIMARY KEY,
  owner bytea NOT NULL,
  engagement bytea NOT NULL,
  created bigint NOT NULL
);

CREATE INDEX referral_of_engagement ON referral_directory (engagement, created, id);

-- How many referrals an owner has of each class, and of each class in each country; rows may stand at 0.
CREATE TABLE tally (
  owner bytea NOT NULL,
  offer_lead boolean NOT NULL,
  class smallint NOT NULL,
  n bigint NOT NULL,
  PRIMARY KEY (owner, offer_lead, class)
);

CREATE TABLE country_tally (
  owner bytea NOT NULL,
  offer_lead boolean NOT NULL,
  country bytea NOT NULL,
  class smallint NOT NULL,
  n bigint NOT NULL,
  PRIMARY KEY (owner, offer_lead, country, class)
);

-- The list of a Referral User: whose team a folded e-mail is on, in the order of the list.
CREATE TABLE team_member (
  owner bytea NOT NULL,
  email bytea NOT NULL,
  offer_lead boolean NOT NULL,
  created bigint NOT NULL,
  id bytea NOT NULL
);

CREATE UNIQUE INDEX team_member_newest_first ON team_member (owner, email, offer_lead, created DESC, id);

-- The newest position of each organization's log. Who writes for an organization holds this row until the end of the
-- transaction, so positions have no gaps and appear in their order.
CREATE TABLE log_head (
  organization bytea NOT NULL PRIMARY KEY,
  position bigint NOT NULL
);

-- The news, in commit order; positions are counted per organization from 1, without gaps.
CREATE TABLE change_log (
  organization bytea NOT NULL,
  position bigint NOT NULL,
  referral bytea NOT NULL,
  engagement bytea NOT NULL,
  version bigint NOT NULL,
  action smallint NOT NULL,
  at bigint NOT NULL,
  actor_organization bytea,
  actor_user bytea,
  changes bytea NOT NULL,
  PRIMARY KEY (organization, position)
);

CREATE TABLE answer (
  organization bytea NOT NULL,
  digest bytea NOT NULL,
  remembered_at bigint NOT NULL,
  status integer NOT NULL,
  request_digest bytea NOT NULL,
  content bytea NOT NULL,
  PRIMARY KEY (organization, digest)
);

CREATE INDEX answer_oldest_first ON answer (remembered_at);

CREATE TABLE organization (
  id bytea NOT NULL PRIMARY KEY,
  name text NOT NULL,
  issuer text NOT NULL,
  tenant text,
  partner_id text
);

-- `place` keeps the order in which the locations were given.
CREATE TABLE organization_location (
  organization bytea NOT NULL,
  place integer NOT NULL,
  location text NOT NULL,
  PRIMARY KEY (organization, place)
);

CREATE TABLE assignment (
  organization bytea NOT NULL,
  identity text COLLATE "C" NOT NULL,
  role smallint NOT NULL,
  PRIMARY KEY (organization, identity)
);

CREATE TABLE setting (
  name text COLLATE "C" NOT NULL PRIMARY KEY,
  value bytea NOT NULL
);
