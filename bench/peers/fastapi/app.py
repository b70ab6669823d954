"""What a team would write by hand: FastAPI, SQLAlchemy, SQLite in WAL mode with synchronous=FULL.

REFERRALS_DB names the database file.  Run:  uvicorn app:app --workers 2 --no-access-log
"""
import os
import uuid
from datetime import datetime, timezone

from fastapi import FastAPI, Header, HTTPException, Response
from sqlalchemy import JSON, Index, String, create_engine, event, update
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
    direction: Mapped[str] = mapped_column(String(20))
    engagement: Mapped[str] = mapped_column(String(36))
    document: Mapped[dict] = mapped_column(JSON)
    __table_args__ = (
        Index("referral_list", "status", "direction", created.desc(), "id"),
        Index("referral_created", created.desc(), "id"),
        Index("referral_engagement", "engagement"),
    )


open_session = sessionmaker(engine, expire_on_commit=False)
app = FastAPI()
PATH = "/v1.0/engagements/referrals/{id}"


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
        direction=document.get("direction", ""),
        engagement=document.get("engagementId", ""),
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
