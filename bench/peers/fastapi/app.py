"""What a team would write by hand: FastAPI, SQLAlchemy, SQLite in WAL mode with synchronous=FULL.

REFERRALS_DB names the database file.  Run:  uvicorn app:app --workers 2 --no-access-log
"""
import os
import uuid
from datetime import datetime, timezone

from fastapi import FastAPI, Header, HTTPException, Query, Request, Response
from sqlalchemy import DDL, JSON, Index, String, and_, create_engine, event, func, or_, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

engine = create_engine(
    "sqlite:///" + os.environ.get("REFERRALS_DB", "referrals.db"),
    connect_args={"check_same_thread": False, "timeout": 30},
    pool_size=20,
    max_overflow=20,
)


@event.listens_for(engine, "connect")
def set_pragmas(connection, _record):
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


class Base(DeclarativeBase):
    pass


class Referral(Base):
    __tablename__ = "referral"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    etag: Mapped[str] = mapped_column(String(38))
    created: Mapped[str] = mapped_column(String(30))
    status: Mapped[str] = mapped_column(String(20))
    substatus: Mapped[str] = mapped_column(String(20))
    direction: Mapped[str] = mapped_column(String(20))
    engagement: Mapped[str] = mapped_column(String(36))
    name: Mapped[str] = mapped_column(String(200))
    document: Mapped[dict] = mapped_column(JSON)
    __table_args__ = (
        Index("referral_pending", "direction", "substatus", created.desc(), "id"),
        Index("referral_list", "status", "direction", created.desc(), "id"),
        Index("referral_created", created.desc(), "id"),
        Index("referral_engagement", "engagement"),
    )


# The words of the names, kept by triggers.
for statement in (
    "CREATE VIRTUAL TABLE referral_words USING fts5 (name, content='referral', content_rowid='rowid')",
    """CREATE TRIGGER referral_added AFTER INSERT ON referral BEGIN
           INSERT INTO referral_words (rowid, name) VALUES (new.rowid, new.name);
       END""",
    """CREATE TRIGGER referral_renamed AFTER UPDATE OF name ON referral WHEN old.name <> new.name BEGIN
           INSERT INTO referral_words (referral_words, rowid, name) VALUES ('delete', old.rowid, old.name);
           INSERT INTO referral_words (rowid, name) VALUES (new.rowid, new.name);
       END""",
):
    event.listen(Base.metadata, "after_create", DDL(statement))

open_session = sessionmaker(engine, expire_on_commit=False)
app = FastAPI()
LIST = "/v1.0/engagements/referrals"
PATH = LIST + "/{id}"
NAMED = text("referral.rowid IN (SELECT rowid FROM referral_words WHERE referral_words MATCH :words)")


def chosen(statement, direction, status, substatus, search):
    for column, value in ((Referral.direction, direction), (Referral.status, status), (Referral.substatus, substatus)):
        if value is not None:
            statement = statement.where(column == value)
    if search is not None:
        phrase = search.replace('"', '""')
        statement = statement.where(NAMED.bindparams(words=f'"{phrase}"'))
    return statement


@app.get(LIST)
def list_referrals(
    request: Request,
    direction: str | None = None,
    status: str | None = None,
    substatus: str | None = None,
    search: str | None = None,
    after: str | None = None,
    skip: int = Query(0, ge=0),
    top: int = Query(50, ge=1, le=1000),
    count: bool = False,
):
    """The newest first. `nextLink` goes on by the key of the last one."""
    filters = direction, status, substatus, search
    page = chosen(select(Referral), *filters).order_by(Referral.created.desc(), Referral.id).offset(skip).limit(top)
    if after is not None:
        created, _, id = after.partition(",")
        later = or_(Referral.created < created, Referral.id > id)
        page = page.where(and_(Referral.created <= created, later))
    with open_session() as session:
        rows = session.scalars(page).all()
        answer = {"value": [row.document for row in rows]}
        if count:
            answer["count"] = session.scalar(chosen(select(func.count()).select_from(Referral), *filters))
    if len(rows) == top:
        url = request.url.remove_query_params(["skip"])
        answer["nextLink"] = str(url.include_query_params(after=f"{rows[-1].created},{rows[-1].id}"))
    return answer


@app.get("/v1.0/engagements/statuses")
def count_by_status():
    with open_session() as session:
        groups = session.execute(select(Referral.status, func.count()).group_by(Referral.status))
        return {"value": [{"status": status, "n": n} for status, n in groups]}


@app.get(PATH)
def get_referral(id: str, response: Response):
    with open_session() as session:
        row = session.get(Referral, id)
    if row is None:
        raise HTTPException(404)
    response.headers["etag"] = row.etag
    return row.document


def save(session: Session, id: str, if_match: str | None, document: dict, response: Response):
    etag = f'"{uuid.uuid4()}"'
    document["id"], document["eTag"] = id, etag
    document["updatedDateTime"] = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
    change = update(Referral).where(Referral.id == id).values(
        etag=etag,
        status=document.get("status", ""),
        substatus=document.get("substatus", ""),
        direction=document.get("direction", ""),
        engagement=document.get("engagementId", ""),
        name=document.get("name", ""),
        document=document,
    )
    if if_match and if_match != "*":
        change = change.where(Referral.etag == if_match)
    if session.execute(change).rowcount != 1:
        session.rollback()
        raise HTTPException(412)
    session.commit()
    response.headers["etag"] = etag
    return document


@app.put(PATH)
def put_referral(id: str, document: dict, response: Response, if_match: str | None = Header(None)):
    with open_session() as session:
        return save(session, id, if_match, document, response)


@app.patch(PATH)
def patch_referral(id: str, change: dict, response: Response, if_match: str | None = Header(None)):
    """A shallow merge; enough to compare rates."""
    with open_session() as session:
        row = session.get(Referral, id)
        if row is None:
            raise HTTPException(404)
        if if_match and if_match not in ("*", row.etag):
            raise HTTPException(412)
        return save(session, id, row.etag, {**row.document, **change}, response)
