#!/bin/sh
# Print the Secret that every overlay refers to, with fresh random values. It is never in the
# repository. Apply it once; applying another one locks everybody out of what was sealed with it.
#
#   ./secrets.sh | kubectl apply -f -                                        (trial)
#   DATABASE_URL=postgresql://... ./secrets.sh | kubectl apply -f -          (your PostgreSQL)
set -eu

random() { head -c 32 /dev/urandom | base64 | tr -d '=\n' | tr '+/' '-_'; }

postgres_password=$(random)
# A letter first: nats-server reads the variable as configuration, where digits are a number.
nats_token="n$(random)"
: "${DATABASE_URL:=postgresql://epochal:$postgres_password@postgres:5432/epochal}"

cat <<YAML
apiVersion: v1
kind: Secret
metadata:
  name: epochal-secrets
  namespace: ${NAMESPACE:-epochal}
  labels: {app.kubernetes.io/part-of: epochal}
stringData:
  database-url: "$DATABASE_URL"
  postgres-password: "$postgres_password"
  nats-token: "$nats_token"
  nats-url: "nats://$nats_token@nats:4222"
  bootstrap-token: "epo_$(random)"
  run-token-secret: "$(random)"
  secret-key: "$(random)="
YAML
