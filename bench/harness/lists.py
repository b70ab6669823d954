"""The lists that are asked for, how each server is asked for them, and what it must answer."""
import http.client
import json
import sqlite3
import time
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from .machine import Failed

PAGE = 50
FAR_PAGE = 1000
LIST_LIMIT = 300  # seconds for one answer
PENDING = {"direction": "Incoming", "substatus": "Pending"}
ACTIVE = {"status": "Active", "direction": "Incoming"}
COMMON_WORDS = "Wingtip Labs"  # in the names of one in 72

FIRST, COUNTED = "first page", "first page, counted"
BY_LINK, BY_SKIP, DEEP = "far page by link", "far page by $skip", "deep $skip, a wider filter"
COMMON, RARE = "a phrase in one of 72 names", "a phrase in very few names"
BY_STATUS = "numbers by status"
LISTS = {"list": [FIRST, COUNTED], "page": [FIRST, BY_LINK, BY_SKIP, DEEP], "search": [COMMON, RARE],
         "apply": [BY_STATUS]}


@dataclass
class Asked:
    """A list, and the answer that is right."""

    what: str
    filter: dict = field(default_factory=dict)
    skip: int = 0
    words: str = ""
    by_link: bool = False
    counted: bool = False
    ids: list = field(default_factory=list)
    count: int = None
    groups: dict = None

    @property
    def place(self):
        """Where the page is, for the report."""
        return f"after {self.skip:,}" if self.skip else ""


def asked(work, suite, rows):
    """The lists of a suite, with their answers out of the table of the limits."""
    with sqlite3.connect(f"file:{work.data(rows) / 'lists' / 'lists.db'}?mode=ro", uri=True) as table:
        every = [fill(table, what) for what in LISTS[suite]]
    table.close()
    return every


def fill(table, what):
    if what == BY_STATUS:
        return Asked(what, groups=dict(table.execute("SELECT status, count(*) FROM referral GROUP BY status")))
    one = Asked(what, by_link=what == BY_LINK, counted=what == COUNTED)
    if what in (COMMON, RARE):
        one.words = COMMON_WORDS if what == COMMON else rare_words(table)
        places = "SELECT rowid FROM words WHERE words MATCH ?"
        chosen, values = f"number IN (SELECT number FROM place WHERE place IN ({places}))", [f'"{one.words}"']
    else:
        one.filter = ACTIVE if what == DEEP else PENDING
        chosen, values = " AND ".join(f"{name} = ?" for name in one.filter), list(one.filter.values())
    if what in (COUNTED, BY_LINK, BY_SKIP, DEEP):
        one.count = table.execute(f"SELECT count(*) FROM referral WHERE {chosen}", values).fetchone()[0]
        one.skip = 0 if one.counted else start_of_last_page(one.count, what)
    rows = table.execute(f"SELECT id FROM referral WHERE {chosen} ORDER BY created DESC, id LIMIT ? OFFSET ?",
                         [*values, PAGE, one.skip])
    one.ids = [id for id, in rows]
    return one


def start_of_last_page(count, what):
    """Of the last whole page, or of page 1000 where there are more."""
    whole = max(1, count // PAGE)
    return (whole if what == DEEP else min(whole, FAR_PAGE)) * PAGE - PAGE


def rare_words(table):
    """The first customer with a number of five digits, which is the beginning of no other: `Contoso Retail 12345`."""
    names = "SELECT json_extract(document, '$.customerProfile.name') AS name FROM referral ORDER BY number"
    five = "* " + 5 * "[0-9]"
    return table.execute(f"SELECT name FROM ({names}) WHERE name GLOB ? LIMIT 1", [five]).fetchone()[0]


def odata(path, page_size=""):
    """How Cosell and CAP are asked; `page_size` is what asks for pages of 50 where links are followed."""

    def ask(one):
        if one.groups is not None:
            return path + "?$apply=" + quote("groupby((status),aggregate($count as n))", safe="$(),")
        options = []
        if one.filter:
            terms = [f"{name} eq '{value}'" for name, value in one.filter.items()]
            options.append("$filter=" + quote(" and ".join(terms)))
        if one.words:
            options.append("$search=" + quote(f'"{one.words}"'))
        options += ["$orderby=createdDateTime%20desc", f"$count={'true' if one.counted else 'false'}"]
        if one.by_link:
            options += [page_size] if page_size else []
        else:
            options += [f"$top={PAGE}"] + ([f"$skip={one.skip}"] if one.skip else [])
        return path + "?" + "&".join(options)

    return ask


def parameters(path):
    """How FastAPI is asked."""

    def ask(one):
        if one.groups is not None:
            return path.rsplit("/", 1)[0] + "/statuses"
        options = [f"{name}={value}" for name, value in one.filter.items()] + [f"top={PAGE}"]
        if one.words:
            options.append(f"search={quote(one.words)}")
        if one.counted:
            options.append("count=true")
        if one.skip and not one.by_link:
            options.append(f"skip={one.skip}")
        return path + "?" + "&".join(options)

    return ask


def limit(one):
    """How the limits are asked, in process and over HTTP."""
    if one.groups is not None:
        return "groups"
    if one.words:
        return "search=" + one.words.replace(" ", "+")
    if one.by_link:
        return f"after={one.skip}"
    if one.skip:
        return f"{'active' if one.filter == ACTIVE else 'skip'}={one.skip}"
    return "counted" if one.counted else "first"


class Reader:
    """Single GETs over one connection."""

    def __init__(self, server):
        self.name, self.links = server.target.name, server.target.links
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIST_LIMIT)
        self.headers = {"accept": "application/json"}
        if server.token:
            self.headers["authorization"] = f"Bearer {server.token}"

    def get(self, path):
        try:
            self.connection.request("GET", path, headers=self.headers)
            answer = self.connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"{self.name}: {path}: {error}") from error
        if answer.status != 200:
            raise Failed(f"{self.name} answered {answer.status} to {path}: {body[:300].decode(errors='replace')}")
        return json.loads(body)

    def prepared(self, one, path):
        """The path of a list, after the links to it were followed, and the seconds of one right answer."""
        if one.by_link and self.links:
            path = self.follow(path, one.skip // PAGE)
        check(self.name, one, self.get(path))
        began = time.monotonic()
        self.get(path)
        return path, time.monotonic() - began

    def follow(self, path, pages):
        base = urlsplit(path).path.rsplit("/", 1)[0]
        for page in range(pages):
            answer = self.get(path)
            link = answer.get("@odata.nextLink") or answer.get("nextLink")
            if not link or len(answer["value"]) != PAGE:
                raise Failed(f"{self.name}: page {page + 1} has {len(answer['value'])} referrals, and the link {link}")
            parts = urlsplit(link)
            path = (parts.path if parts.path.startswith("/") else f"{base}/{parts.path}") + "?" + parts.query
            path = path.replace(" ", "%20")
        return path


def check(name, one, answer):
    """Every server answers the same rows in the same order, or its figures are worth nothing."""
    if one.groups is not None:
        found = {group["status"]: group["n"] for group in answer["value"]}
        if found != one.groups:
            raise Failed(f"{name}: {one.what}: {found} instead of {one.groups}")
        return
    found = [referral["id"].lower() for referral in answer["value"]]
    if found != one.ids:
        same = len(set(found) & set(one.ids))
        raise Failed(f"{name}: {one.what}: {len(found)} referrals, {same} of them among the {len(one.ids)} right ones")
    counted = answer.get("@odata.count", answer.get("count"))
    if one.counted and counted != one.count or not one.counted and counted is not None:
        raise Failed(f"{name}: {one.what}: counted {counted}, and there are {one.count}")
