-- Runs once, when the database server of docker-compose.yaml starts with an empty volume.
CREATE DATABASE ledger OWNER media_assets;
