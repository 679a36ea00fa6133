CREATE TABLE organization (
    name text PRIMARY KEY, display_name text NOT NULL, create_time timestamptz NOT NULL
);
CREATE TABLE project (
    name text PRIMARY KEY, display_name text NOT NULL, description text NOT NULL,
    create_time timestamptz NOT NULL, archived boolean NOT NULL, version bigint NOT NULL,
    number bigint NOT NULL, tags jsonb NOT NULL, update_time timestamptz NOT NULL
);
CREATE TABLE member (
    parent text NOT NULL, username text NOT NULL, role bigint NOT NULL, platform_admin boolean NOT NULL,
    PRIMARY KEY (parent, username)
);
CREATE TABLE token (
    name text PRIMARY KEY, username text NOT NULL, display_name text NOT NULL,
    secret_sha256 bytea NOT NULL, scopes jsonb NOT NULL, create_time timestamptz NOT NULL,
    expire_time timestamptz, revoked boolean NOT NULL
);
CREATE UNIQUE INDEX token_by_secret ON token (secret_sha256);
