#!/bin/sh
# Asks for access as the application "deployer", waits until somebody has decided, and goes on:
#   SIGNING_KEY=… sh wait.sh [ORIGIN] [PERSON]
# It needs curl and openssl. docs/applications.md has the same in JavaScript, Python and Go.
set -eu
origin=${1:-http://localhost:8080} person=${2:-alice@example.com}
key=$(printf %s "$SIGNING_KEY" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

# A token says who asks, and for whom; it is signed with HMAC-SHA256 and good for five minutes.
token() {
  claims="{\"iss\":\"https://deploy.example.com\",\"aud\":\"$origin\",\"sub\":\"$person\",\"exp\":$(($(date +%s) + 300))}"
  text=$(printf '{"alg":"HS256","typ":"JWT"}' | base64url).$(printf %s "$claims" | base64url)
  printf %s.%s "$text" "$(printf %s "$text" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64url)"
}
field() { printf %s "$answer" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

# The key makes the same request again the same approval, and another run another one.
answer=$(curl -sS "$origin/v1/approvals" -H "Authorization: Bearer $(token)" -H 'Content-Type: application/json' \
  -H "Idempotency-Key: $(openssl rand -hex 16)" \
  -d '{"template":"production-deploy","data":{"version":"v1.2","cluster":"eu-1"}}')
id=$(field id)
[ -n "$id" ] || { echo "$answer" >&2; exit 1; }
echo "waiting for somebody to decide: $(field url)"
while [ "$(field status)" = pending ]; do
  answer=$(curl -sS "$origin/v1/approvals/$id?wait=25" -H "Authorization: Bearer $(token)")
done
[ "$(field status)" = approved ] || { echo "not approved: $(field status)" >&2; exit 1; }
echo "approved; the access token of $person: $(field access_token)"
