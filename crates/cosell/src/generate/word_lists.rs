//! The words of generated referrals. Values of the contract's lists have the contract's spelling (spec 6).

use super::random::SeededRandom;

/// The city of a customer.
pub struct City {
    pub city: &'static str,
    pub state: &'static str,
    pub postal_code: &'static str,
    pub country: &'static str,
    pub currency: &'static str,
    pub locale: &'static str,
    pub calling_code: &'static str,
}

/// The solution that a customer wants.
pub struct Solution {
    pub id: &'static str,
    pub name: &'static str,
    pub product: &'static str,
    pub about: &'static str,
}

const fn place(
    city: &'static str,
    state: &'static str,
    postal_code: &'static str,
    [country, currency, locale, calling_code]: [&'static str; 4],
) -> City {
    City { city, state, postal_code, country, currency, locale, calling_code }
}

const US: [&str; 4] = ["US", "USD", "en-US", "+1 206"];
const DE: [&str; 4] = ["DE", "EUR", "de-DE", "+49 30"];
const GB: [&str; 4] = ["GB", "GBP", "en-GB", "+44 20"];
const PL: [&str; 4] = ["PL", "PLN", "pl-PL", "+48 22"];
const JP: [&str; 4] = ["JP", "JPY", "ja-JP", "+81 3"];
const BR: [&str; 4] = ["BR", "BRL", "pt-BR", "+55 11"];
const FR: [&str; 4] = ["FR", "EUR", "fr-FR", "+33 1"];
const IN: [&str; 4] = ["IN", "INR", "en-IN", "+91 22"];

pub const CITIES: &[City] = &[
    place("Seattle", "WA", "98101", US),
    place("Austin", "TX", "78701", US),
    place("Boston", "MA", "02108", US),
    place("Hamburg", "Hamburg", "20095", DE),
    place("München", "Bayern", "80331", DE),
    place("Leeds", "West Yorkshire", "LS1 4AP", GB),
    place("Warszawa", "mazowieckie", "00-001", PL),
    place("Łódź", "łódzkie", "90-001", PL),
    place("大阪", "大阪府", "530-0001", JP),
    place("São Paulo", "SP", "01001-000", BR),
    place("Lyon", "Auvergne-Rhône-Alpes", "69001", FR),
    place("Pune", "Maharashtra", "411001", IN),
];

const fn solution(
    id: &'static str,
    name: &'static str,
    product: &'static str,
    about: &'static str,
) -> Solution {
    Solution { id, name, product, about }
}

pub const SOLUTIONS: &[Solution] = &[
    solution("CloudMigration", "Cloud Migration", "Azure", "move to the cloud"),
    solution("BackupDisasterRecovery", "Backup & Disaster Recovery", "Azure", "backup that can be trusted"),
    solution("Dynamics365forSales", "Dynamics 365 for Sales", "Dynamics365Business", "one place for sales"),
    solution(
        "Dynamics365forFieldService",
        "Dynamics 365 for Field Service",
        "Dynamics365Enterprise",
        "service in the field",
    ),
    solution("DataWarehouse", "Data Warehouse", "SQL", "one data warehouse"),
    solution("InternetofThings", "Internet of Things", "Azure", "machines that report"),
    solution("IdentityandAccessManagement", "Identity and Access Management", "Microsoft365", "one sign-in"),
    solution("MachineLearning", "Machine Learning", "Azure", "forecasts from data"),
    solution("SharePointonAzure", "SharePoint on Azure", "SharePoint", "documents in one place"),
    solution(
        "ThreatProtection",
        "Threat Protection",
        "EnterpriseMobilityAndSecurity",
        "protection of devices",
    ),
    solution("CloudVoice", "Cloud Voice", "Teams", "telephony without a switchboard"),
    solution("DevOps", "DevOps", "DeveloperTools", "releases every week"),
];

pub const INDUSTRIES: &[&str] = &[
    "Education",
    "Financial Services",
    "Government",
    "Healthcare",
    "Hospitality",
    "Manufacturing",
    "Power & Utilities",
    "Retail & Consumer Goods",
    "Services",
    "Wholesale & Distribution",
];

pub const SERVICES: &[&str] = &[
    "ConsultingAndProfessional",
    "DeploymentOrMigration",
    "Integration",
    "LearningAndCertification",
    "Licensing",
    "ManagedServices",
    "ProjectServices",
];

pub const SIZES: &[&str] = &[
    "1to9employees",
    "10to50employees",
    "51to250employees",
    "251to1000employees",
    "1001to5000employees",
    "Morethan20000employees",
];

pub const PARTNER_ROLES: &[&str] = &[
    "Presales envisioning",
    "Solution design",
    "Proof of concept",
    "Deployment services",
    "Managed services",
];

pub const CLOSE_REASONS: &[&str] = &[
    "Project budget isn't adequate",
    "Customer didn't respond",
    "Customer chose another vendor",
    "Customer requirement not met",
    "Proposed time line was too short",
];

pub const ERROR_REASONS: &[&str] =
    &["Duplicate - created in Partner Center", "Connector data sync issues", "Test referral", "Data error"];

pub const FIRST_NAMES: &[&str] = &[
    "Ada", "Bruno", "Chiara", "Dawit", "Elif", "Farid", "Grete", "Hana", "Ivo", "Jun", "Karin", "Luis",
    "Mina", "Noor", "Olga", "Pavel", "Rosa", "Sven", "Tala", "Wanda",
];

pub const LAST_NAMES: &[&str] = &[
    "Abara", "Berg", "Castro", "Dubois", "Endo", "Fischer", "Garcia", "Holm", "Ito", "Janssen", "Kowalska",
    "Lind", "Moreau", "Nowak", "Okafor", "Patel", "Rossi", "Silva", "Tanaka", "Weber",
];

pub const STREETS: &[&str] = &[
    "Harbour Street",
    "Mill Lane",
    "Station Road",
    "Market Square",
    "Garden Avenue",
    "Bridge Street",
    "Hill Road",
];

const ADJECTIVES: [&str; 16] = [
    "Amber", "Birch", "Cedar", "Dune", "Elder", "Fjord", "Granite", "Heather", "Ivory", "Juniper", "Linden",
    "Meadow", "Northern", "Orchard", "Pebble", "Quarry",
];

const TRADES: [&str; 16] = [
    "Bakeries",
    "Boats",
    "Brewery",
    "Clinics",
    "Energy",
    "Foods",
    "Furniture",
    "Insurance",
    "Logistics",
    "Machines",
    "Optics",
    "Pharmacy",
    "Publishing",
    "Schools",
    "Textiles",
    "Travel",
];

/// The number of companies.
pub const COMPANIES: usize = ADJECTIVES.len() * TRADES.len();

/// Returns the name of a company, by a number below [`COMPANIES`].
pub fn company(number: usize) -> String {
    format!("{} {}", ADJECTIVES[number % ADJECTIVES.len()], TRADES[number / ADJECTIVES.len()])
}

/// Returns a company's name as part of a domain name.
pub fn domain(company: &str) -> String {
    company.to_lowercase().replace(' ', "-")
}

const WISHES: &[&str] = &[
    "They would like to see a demonstration before they decide, best in the morning.",
    "Prices should be per seat and month, with the first quarter as a trial.",
    "Data must stay in the region; the data protection officer joins the next call.",
    "A fixed price for the migration would make the decision easy.",
    "Please speak to the head of IT first; purchasing comes in later.",
];

/// Returns a few sentences.
pub fn notes(company: &str, city: &str, solution: &Solution, random: &mut SeededRandom) -> String {
    let sites = random.between(2, 30);
    format!("{company} of {city} wants {} at {sites} sites. {}", solution.about, random.word(WISHES))
}
