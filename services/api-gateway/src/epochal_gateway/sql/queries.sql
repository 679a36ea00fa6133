-- organizations --
SELECT name, display_name, create_time FROM organization
 WHERE name = ANY($1) AND name > $2 ORDER BY name LIMIT $3

-- organization --
SELECT name, display_name, create_time FROM organization WHERE name = $1

-- project --
SELECT name, display_name, description, create_time, archived, version, number, tags,
       update_time FROM project WHERE name = $1

-- projects --
SELECT name, display_name, description, create_time, archived, version, number, tags,
       update_time FROM project
 WHERE name LIKE $1 || '/projects/%' AND name > $2 AND ($3 OR NOT archived)
   AND ($4::text[] IS NULL OR name = ANY($4))
 ORDER BY name LIMIT $5

-- members --
SELECT parent, username, role, platform_admin FROM member
 WHERE parent = $1 AND username > $2 ORDER BY username LIMIT $3

-- tokens --
SELECT name, username, display_name, secret_sha256, scopes, create_time, expire_time, revoked FROM token
 WHERE name LIKE $1 || '/tokens/%' AND name > $2 AND ($3 = '' OR username = $3)
 ORDER BY name LIMIT $4

-- token --
SELECT name, username, display_name, secret_sha256, scopes, create_time, expire_time, revoked FROM token
 WHERE name = $1

-- all_members --
SELECT parent, username, role, platform_admin FROM member

-- all_tokens --
SELECT name, username, display_name, secret_sha256, scopes, create_time, expire_time, revoked FROM token

-- tokens_since --
SELECT name, username, display_name, secret_sha256, scopes, create_time, expire_time, revoked FROM token
 WHERE name IN (SELECT resource FROM log.event
                 WHERE position > $1 AND type = 'epochal.v1.TokenIssued')

-- last_of_run --
SELECT max(position) FROM log.event WHERE category = 'run' AND stream_id = $1

-- all_projects --
SELECT name, display_name, description, create_time, archived, version, number, tags,
       update_time FROM project

-- all_organizations --
SELECT name, display_name, create_time FROM organization

-- checkpoint --
SELECT position FROM checkpoint WHERE consumer = 'gateway'
