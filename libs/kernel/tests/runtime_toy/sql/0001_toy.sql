CREATE SCHEMA IF NOT EXISTS toy;
CREATE TABLE toy.intent (position bigint PRIMARY KEY);
