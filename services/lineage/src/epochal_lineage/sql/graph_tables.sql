CREATE TABLE graph_node (
    id uuid NOT NULL, slot bigint NOT NULL, name text NOT NULL, kind bigint NOT NULL,
    org text NOT NULL, project text NOT NULL, digest text NOT NULL, uri text NOT NULL,
    label text NOT NULL, parent uuid NOT NULL, parent_name text NOT NULL,
    implied boolean NOT NULL, first bigint NOT NULL, position bigint NOT NULL,
    until bigint NOT NULL, PRIMARY KEY (id, slot)
);
CREATE INDEX graph_node_by_parent ON graph_node (parent, id);
CREATE INDEX graph_node_by_project ON graph_node (project, kind, name);
CREATE INDEX graph_node_by_org ON graph_node (org, kind, name);
CREATE TABLE graph_edge (
    source uuid NOT NULL, target uuid NOT NULL, kind bigint NOT NULL, slot bigint NOT NULL,
    crosses boolean NOT NULL, position bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (source, target, kind, slot)
);
CREATE INDEX graph_edge_down ON graph_edge (source)
    INCLUDE (target, kind, position, until, crosses);
CREATE INDEX graph_edge_up ON graph_edge (target)
    INCLUDE (source, kind, position, until, crosses);
CREATE TABLE column_edge (
    target uuid NOT NULL, target_column text NOT NULL, source uuid NOT NULL,
    source_column text NOT NULL, via text NOT NULL, transformation bigint NOT NULL,
    description text NOT NULL, masking boolean NOT NULL, crosses boolean NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (target, target_column, source, source_column, via, transformation)
);
CREATE INDEX column_edge_by_source ON column_edge (source, source_column);
CREATE TABLE run_artifact (
    run text NOT NULL, path text NOT NULL, sha256 bytea NOT NULL, size_bytes bigint NOT NULL,
    PRIMARY KEY (run, path)
);
