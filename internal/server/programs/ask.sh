api=<api>
b64() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
token() {
  hex=$(printf %s "$SIGNING_KEY" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
  head=$(printf '{"alg":"HS256","typ":"JWT"}' | b64)
  body=$(printf '{"iss":%s,"aud":%s,"sub":%s,"exp":%d}' <uri> <aud> <sub> $(($(date +%s) + 300)) | b64)
  printf %s "$head.$body.$(printf %s "$head.$body" | openssl dgst -sha256 -mac HMAC -macopt hexkey:$hex -binary | b64)"
}
call() { path=$1; shift; curl -sS --retry 5 "$api$path" -H "Authorization: Bearer $(token)" -H 'Content-Type: application/json' "$@"; }
field() { printf %s "$approval" | sed -n 's/^{"id":"\([^"]*\)","status":"\([^"]*\)".*/\'$1'/p'; }

approval=$(call /v1/approvals -d <body>)
printf '%s\n' "$approval" >&2
while [ "$(field 2)" = pending ]; do
  approval=$(call "/v1/approvals/$(field 1)?wait=25")
done
printf '%s\n' "$approval"
