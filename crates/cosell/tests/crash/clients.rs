//! The load: clients that write as fast as they are answered, and remember what they were told.

use serde_json::json;

use super::ledger::{Attempt, Mark, Outcome};
use super::support::chance::Chance;
use super::support::{Answer, Connection};

/// The collection.
pub const PATH: &str = "/v1.0/engagements/referrals";

/// How many of its referrals a client goes on changing.
const KEPT: usize = 4;

/// A request as it is sent, and as it can be sent again.
#[derive(Debug, Clone)]
pub struct Request {
    /// POST, PUT, PATCH or GET.
    pub method: &'static str,
    /// Where.
    pub path: String,
    /// Without the token.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// A request, its mark, and what was answered before the process died.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its mark.
    pub mark: Mark,
    /// The request.
    pub request: Request,
    /// The answer, if there was one.
    pub answer: Option<Answer>,
}

impl Request {
    /// Sends it with this token.
    pub fn send(&self, connection: &mut Connection, token: &str) -> std::io::Result<Answer> {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        headers.extend(self.headers.iter().map(|(name, value)| (*name, value.as_str())));
        connection.try_request(self.method, &self.path, &headers, self.body.as_bytes())
    }

    /// Whether it carries a `request-id`.
    pub fn is_repeatable(&self) -> bool {
        self.headers.iter().any(|(name, _)| *name == "request-id")
    }
}

impl Call {
    /// As the ledger wants it. Anything but success and the refusals that the load provokes is a fault.
    pub fn attempt(&self) -> Result<Attempt, String> {
        let Some(answer) = &self.answer else {
            return Ok(Attempt { mark: self.mark.clone(), outcome: Outcome::Unknown });
        };
        let outcome = match answer.status {
            200 if self.request.method == "GET" => self.shown(answer)?,
            200 | 201 | 204 => Outcome::Acknowledged {
                referral: self
                    .referral_of(answer)
                    .ok_or_else(|| format!("{}: names no referral", self.mark))?,
                etag: answer.header("ETag").ok_or_else(|| format!("{}: no ETag", self.mark))?.to_owned(),
            },
            412 if self.request.headers.iter().any(|(name, _)| *name == "If-Match") => Outcome::Refused(412),
            503 => {
                self.hold_refusal(answer)?;
                Outcome::Unknown
            }
            status => return Err(format!("{}: {status}: {}", self.mark, answer.text())),
        };
        Ok(Attempt { mark: self.mark.clone(), outcome })
    }

    /// Whether a write was answered with success.
    pub fn is_acknowledged(&self) -> bool {
        self.request.method != "GET" && self.answer.as_ref().is_some_and(|answer| answer.status < 300)
    }

    /// Whether it may have had its effect or not: no answer came, or that the server does not know either.
    pub fn is_unknown(&self) -> bool {
        self.answer.as_ref().is_none_or(|answer| answer.status == 503)
    }

    /// That the same request, sent again, is answered as it was the first time.
    #[track_caller]
    pub fn assert_same_answer(&self, first: &Answer, again: &Answer) {
        let Request { method, path, .. } = &self.request;
        let what = format!("{} ({method} {path}), asked for again", self.mark);
        assert_eq!(again.status, first.status, "{what}: {}", again.text());
        assert_eq!(again.text(), first.text(), "{what}");
        for name in ["ETag", "Location", "Preference-Applied", "Request-ID"] {
            assert_eq!(again.header(name), first.header(name), "{what}: {name}");
        }
    }

    /// Whoever is refused for the moment is told so in words, and when to come again.
    fn hold_refusal(&self, answer: &Answer) -> Result<(), String> {
        let error = &answer.json()["error"];
        let is_readable = error["message"].as_str().is_some_and(|message| !message.is_empty());
        if error["code"] != "serviceNotAvailable" || !is_readable || answer.header("Retry-After").is_none() {
            return Err(format!("{}: a refusal that says too little: {}", self.mark, answer.text()));
        }
        Ok(())
    }

    fn shown(&self, answer: &Answer) -> Result<Outcome, String> {
        let referral = self.referral_of(answer).ok_or_else(|| format!("{}: names no referral", self.mark))?;
        let etag = answer.header("ETag").ok_or_else(|| format!("{}: no ETag", self.mark))?.to_owned();
        Ok(Outcome::Shown { referral, etag })
    }

    fn referral_of(&self, answer: &Answer) -> Option<String> {
        match self.request.method {
            "POST" => answer.json()["id"].as_str().map(str::to_owned),
            _ => self.request.path.rsplit('/').next().map(str::to_owned),
        }
    }
}

/// One client, from kill to kill.
pub struct Client {
    name: String,
    chance: Chance,
    count: u64,
    /// Its own referrals with their tags; nobody else changes them.
    pub own: Vec<(String, String)>,
    /// The referral that all clients of the organization change.
    pub shared: Option<String>,
}

impl Client {
    /// A client whose marks begin with this name.
    pub fn new(name: String, chance: Chance) -> Client {
        Client { name, chance, count: 0, own: Vec::new(), shared: None }
    }

    /// Writes, and reads a little, until the connection breaks or the server takes no more writes.
    pub fn write(&mut self, mut connection: Connection, token: &str) -> Vec<Call> {
        let mut calls = Vec::new();
        loop {
            let (mark, request) = self.choose();
            let answer = request.send(&mut connection, token).ok();
            let is_over = answer.as_ref().is_none_or(|answer| answer.status == 503);
            if let Some(answer) = &answer {
                self.learn(&request, answer);
            }
            calls.push(Call { mark, request, answer });
            if is_over {
                return calls;
            }
        }
    }

    /// The next request, and the mark that it leaves.
    pub fn choose(&mut self) -> (Mark, Request) {
        self.count += 1;
        let mark = format!("{}-{}", self.name, self.count);
        let own = self.own.len().min(KEPT);
        let mut request = match (self.chance.below(100), &self.shared) {
            (0..25, _) => post(&mark),
            (25..40, Some(shared)) => patch(shared, &mark),
            (95.., Some(shared)) => get(shared),
            _ if own == 0 => post(&mark),
            (40..70, _) => {
                let (id, etag) = self.pick(own);
                let mut request = put(&id, &mark);
                request.headers.push(("If-Match", etag));
                request
            }
            _ => {
                let (id, etag) = self.pick(own);
                let mut request = patch(&id, &mark);
                if self.chance.percent(50) {
                    request.headers.push(("If-Match", etag));
                }
                request
            }
        };
        if request.method == "PATCH" && self.chance.percent(50) {
            request.headers.push(("Prefer", "return=representation".to_owned()));
        }
        if request.method != "GET" && self.chance.percent(50) {
            request.headers.push(("request-id", self.chance.guid()));
        }
        (mark, request)
    }

    fn pick(&mut self, own: usize) -> (String, String) {
        let newest_first = self.own.len() - 1 - self.chance.below(own as u64) as usize;
        self.own[newest_first].clone()
    }

    /// Takes in what an answer says of its own referrals.
    pub fn learn(&mut self, request: &Request, answer: &Answer) {
        let Some(etag) = answer.header("ETag").filter(|_| answer.status < 300).map(str::to_owned) else {
            return;
        };
        if request.method == "POST" {
            let id = answer.json()["id"].as_str().expect("a created referral has an id").to_owned();
            self.own.push((id, etag));
        } else if let Some(own) = self.own.iter_mut().find(|(id, _)| request.path.ends_with(id.as_str())) {
            own.1 = etag;
        }
    }
}

/// A new referral; its mark is its name.
pub fn post(mark: &str) -> Request {
    let body = json!({
        "name": mark,
        "type": "Independent",
        "customerProfile": { "name": "Tailwind Traders", "address": { "country": "US" } },
        "consent": { "consentToToShareInfoWithOthers": true },
        "details": { "dealValue": 10_000, "currency": "USD" },
    });
    Request { method: "POST", path: PATH.to_owned(), headers: Vec::new(), body: body.to_string() }
}

/// A referral as it stands.
pub fn get(id: &str) -> Request {
    Request { method: "GET", path: format!("{PATH}/{id}"), headers: Vec::new(), body: String::new() }
}

fn put(id: &str, mark: &str) -> Request {
    let body = json!({ "id": id, "externalReferenceId": mark });
    Request { method: "PUT", path: format!("{PATH}/{id}"), headers: Vec::new(), body: body.to_string() }
}

/// A change of a referral; its mark is its external reference.
pub fn patch(id: &str, mark: &str) -> Request {
    let body = json!([{ "op": "replace", "path": "/externalReferenceId", "value": mark }]);
    Request { method: "PATCH", path: format!("{PATH}/{id}"), headers: Vec::new(), body: body.to_string() }
}
