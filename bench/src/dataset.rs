//! The dataset: the n-th referral is a pure function of n, so every server under test holds the same documents.
//! Compact JSON of 2.7 KB on average, all of one organization; New rows have no expiry date, so the data do not
//! change while the servers run. Texts are words of `prose.rs`, which compress as English does.

use std::fmt::Write;

use crate::prose;

/// Owner of every row: the sandbox's Contoso, whose administrator the benchmarks act as.
pub const OWNER: &str = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";

const SEED: u64 = 20_201_030;

/// SplitMix64: small, fast, good enough for test data.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator; the same seed gives the same numbers.
    pub fn seeded(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number under `limit`, which is not zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// So many bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let words = (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes());
        words.take(length).collect()
    }

    /// A version 4 UUID.
    pub fn uuid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            (a >> 32) as u32,
            (a >> 16) as u16,
            a & 0xfff,
            0x8000 | ((b >> 48) & 0x3fff),
            b & 0xffff_ffff_ffff
        )
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }

    fn words(&mut self, count: u64) -> String {
        prose::text((0..count).map(|_| self.next()))
    }
}

/// One referral and the members that the tables index.
#[derive(Debug, Clone)]
pub struct Referral {
    /// Its id, a UUID.
    pub id: String,
    /// Of the engagement; eight referrals share five.
    pub engagement_id: String,
    /// `createdDateTime`, seven digits.
    pub created: String,
    /// `New`, `Active` or `Closed`.
    pub status: &'static str,
    /// A tenth is `Pending`.
    pub substatus: &'static str,
    /// `Incoming` or `Outgoing`.
    pub direction: &'static str,
    /// With its quotes.
    pub etag: String,
    /// The whole document.
    pub json: String,
}

impl Referral {
    /// The n-th referral.
    pub fn numbered(number: u64) -> Referral {
        let mut random = Random(SEED ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let r = &mut random;
        let id = r.uuid();
        let engagement_id = Random(SEED ^ 0xe0_0000_0000 ^ (number * 5 / 8)).uuid();
        let created_at = 1_546_300_800 + r.below(3 * 365 * 86_400) as i64; // in 2019 to 2021
        let created = timestamp(created_at, r.below(10_000_000));
        let updated = timestamp(created_at + r.below(90 * 86_400) as i64, r.below(10_000_000));
        let closing = timestamp(created_at + (30 + r.below(180) as i64) * 86_400, 0);
        let (status, substatus) = match r.below(100) {
            0..=9 => ("New", "Pending"),
            10..=24 => ("New", "Received"),
            25..=54 => ("Active", "Accepted"),
            55..=74 => ("Closed", "Won"),
            75..=86 => ("Closed", "Lost"),
            87..=92 => ("Closed", "Declined"),
            _ => ("Closed", "Expired"),
        };
        let direction = if r.below(100) < 60 { "Incoming" } else { "Outgoing" };
        let place = &PLACES[r.below(PLACES.len() as u64) as usize];
        let customer = format!("{} {} {}", r.pick(COMPANIES), r.pick(TRADES), r.below(30_000));
        let etag = format!("\"{}\"", r.uuid());

        let mut json = String::with_capacity(3200);
        let reason = match status {
            "Closed" => format!("\"{}\"", {
                let count = 4 + r.below(10);
                r.words(count)
            }),
            _ => "null".to_owned(),
        };
        let name = format!("{} for {customer}", r.pick(PRODUCTS));
        let _ = write!(
            json,
            concat!(
                r#"{{"id":"{}","engagementId":"{}","organizationId":"{}","organizationName":"Contoso Company","#,
                r#""name":"{}","externalReferenceId":"EXT-{:010}","createdDateTime":"{}","#,
                r#""updatedDateTime":"{}","expirationDateTime":null,"status":"{}","substatus":"{}","#,
                r#""statusReason":{},"qualification":"{}","type":"{}","direction":"{}","#,
                r#""target":[{{"type":"BusinessProfileLocation","id":"{}"}}],"customerProfile":{}"#
            ),
            id,
            engagement_id,
            OWNER,
            name,
            number,
            created,
            updated,
            status,
            substatus,
            reason,
            r.pick(&["Direct", "SalesQualified", "MarketingQualified"]),
            if r.below(10) < 7 { "Independent" } else { "Shared" },
            direction,
            r.uuid(),
            customer_profile(r, &customer, place),
        );
        let _ = write!(
            json,
            concat!(
                r#","consent":{{"consentToToShareInfoWithOthers":{},"consentToContact":true}},"details":{},"#,
                r#""team":{},"inviteContext":{{"notes":"{}","invitedBy":{{"organizationId":"{}"}}}},"links":{},"#,
                r#""eTag":{:?}}}"#
            ),
            r.below(2) == 0,
            details(r, place.currency, &closing),
            people(r, 2),
            {
                let count = 5 + r.below(20);
                r.words(count)
            },
            OWNER,
            links(&id, &engagement_id),
            etag,
        );
        Referral { id, engagement_id, created, status, substatus, direction, etag, json }
    }

    /// Whether a client may still change it.
    pub fn is_open(&self) -> bool {
        self.status != "Closed"
    }

    /// The body of a PUT: the document without `links` and `eTag`, which the contract refuses or ignores there.
    pub fn replacement(&self) -> String {
        let end = self.json.find(",\"links\":").unwrap_or(self.json.len() - 1);
        format!("{}}}", &self.json[..end])
    }
}

struct Place {
    country: &'static str,
    city: &'static str,
    currency: &'static str,
}

const fn place(country: &'static str, city: &'static str, currency: &'static str) -> Place {
    Place { country, city, currency }
}

const PLACES: &[Place] = &[
    place("US", "Redmond", "USD"),
    place("GB", "London", "GBP"),
    place("DE", "Berlin", "EUR"),
    place("FR", "Paris", "EUR"),
    place("PL", "Kraków", "PLN"),
    place("SE", "Malmö", "SEK"),
    place("TR", "İzmir", "TRY"),
    place("IN", "Pune", "INR"),
    place("JP", "Osaka", "JPY"),
    place("BR", "Recife", "BRL"),
];

const FIRST_NAMES: &[&str] =
    &["Sue", "Joe", "John", "Ana", "Wei", "Olga", "Raj", "Maria", "Lars", "Aiko", "Omar", "Zoë"];
const LAST_NAMES: &[&str] = &[
    "Smith", "Hansen", "Doe", "García", "Chen", "Novak", "Patel", "Rossi", "Berg", "Tanaka", "Haddad",
    "Müller",
];
const COMPANIES: &[&str] =
    &["Contoso", "Fabrikam", "Northwind", "Adatum", "Litware", "Proseware", "Tailspin", "Wingtip"];
const TRADES: &[&str] =
    &["Retail", "Logistics", "Health", "Foods", "Energy", "Motors", "Bank", "Media", "Labs"];
const SIZES: &[&str] =
    &["1to9employees", "10to50employees", "51to250employees", "251to1000employees", "1001to5000employees"];
const INDUSTRIES: &[&str] =
    &["Manufacturing", "Education", "Healthcare", "RetailConsumerGoods", "Government", "Agriculture"];
const PRODUCTS: &[&str] =
    &["Dynamics365Enterprise", "Microsoft365", "Azure", "PowerBI", "Windows", "Security"];
const SERVICES: &[&str] = &[
    "DeploymentOrMigration",
    "LearningAndCertification",
    "Consulting",
    "ManagedServices",
    "IntellectualProperty",
];

fn customer_profile(r: &mut Random, customer: &str, place: &Place) -> String {
    format!(
        concat!(
            r#"{{"name":"{}","address":{{"addressLine1":"{} Main Street","addressLine2":"","city":"{}","state":"","#,
            r#""postalCode":"{:05}","country":"{}"}},"size":"{}","team":{},"ids":[]}}"#
        ),
        customer,
        1 + r.below(999),
        place.city,
        r.below(100_000),
        place.country,
        r.pick(SIZES),
        people(r, 3),
    )
}

fn details(r: &mut Random, currency: &str, closing: &str) -> String {
    let product = r.pick(PRODUCTS);
    let count = 10 + r.below(40);
    format!(
        concat!(
            r#"{{"notes":"{}","dealValue":{},"currency":"{}","closingDateTime":"{}","requirements":{{"#,
            r#""industries":[{{"id":"{}"}}],"products":[{{"id":"{}"}}],"services":[{{"id":"{}"}}],"#,
            r#""solutions":[{{"id":"SOL-{}","name":"{}","type":"Category"}}]}}}}"#
        ),
        r.words(count),
        1000 + r.below(400_000),
        currency,
        closing,
        r.pick(INDUSTRIES),
        product,
        r.pick(SERVICES),
        product,
        product,
    )
}

/// One to `most` people.
fn people(r: &mut Random, most: u64) -> String {
    let count = 1 + r.below(most);
    let people: Vec<String> = (0..count)
        .map(|_| {
            format!(
                concat!(
                    r#"{{"contactPreference":{{"locale":"en-us","disableNotifications":{}}},"firstName":"{}","#,
                    r#""lastName":"{}","phoneNumber":"{}","email":"user{}@example.com"}}"#
                ),
                r.below(4) == 0,
                r.pick(FIRST_NAMES),
                r.pick(LAST_NAMES),
                1_000_000_000 + r.below(9_000_000_000),
                r.below(100_000),
            )
        })
        .collect();
    format!("[{}]", people.join(","))
}

fn links(id: &str, engagement: &str) -> String {
    const BASE: &str = "https://api.example.com/v1.0/engagements/referrals";
    format!(
        concat!(
            r#"{{"relatedReferrals":{{"uri":"{}?$filter=engagementId eq '{}'","method":"GET"}},"#,
            r#""self":{{"uri":"{}/{}","method":"GET"}}}}"#
        ),
        BASE, engagement, BASE, id
    )
}

/// Seconds since 1970 and 100 ns steps, in the contract's seven-digit form.
fn timestamp(seconds: i64, ticks: u64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ticks:07}Z")
}

/// Days since 1970-01-01 as year, month and day of the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468; // days since 0000-03-01
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_json_with_the_members_beside_it() {
        for number in 0..500 {
            let referral = Referral::numbered(number);
            let json: serde_json::Value = serde_json::from_str(&referral.json).unwrap();
            assert_eq!(json["id"], referral.id.as_str());
            assert_eq!(json["createdDateTime"], referral.created.as_str());
            assert_eq!(json["eTag"], referral.etag.as_str());
            assert_eq!(json["substatus"], referral.substatus);
            let body: serde_json::Value = serde_json::from_str(&referral.replacement()).unwrap();
            assert!(body.get("links").is_none() && body.get("eTag").is_none());
            assert_eq!(body["team"], json["team"]);
        }
    }

    #[test]
    fn days_become_dates() {
        for (days, date) in [(0, (1970, 1, 1)), (11_016, (2000, 2, 29)), (18_993, (2022, 1, 1))] {
            assert_eq!(civil(days), date);
        }
    }
}
