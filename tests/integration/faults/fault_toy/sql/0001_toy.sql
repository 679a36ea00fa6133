-- What the toy service keeps for ever: one intent for each event it has reacted to.
CREATE SCHEMA IF NOT EXISTS toy;
CREATE TABLE toy.intent (position bigint PRIMARY KEY);
