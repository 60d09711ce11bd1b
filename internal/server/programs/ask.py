import base64, json, os, sys, time, urllib.request
import jwt

api = <api>
key = base64.b64decode(os.environ["SIGNING_KEY"])

def call(path, body=None):
    claims = {"iss": <uri>, "aud": api, "sub": <sub>, "exp": int(time.time()) + 300}
    request = urllib.request.Request(api + path, data=body and json.dumps(body).encode(), headers={
        "Authorization": "Bearer " + jwt.encode(claims, key, algorithm="HS256"), "Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        said = json.load(answer)
        time.sleep(int(answer.headers.get("Retry-After", "0")))
    return said

approval = call("/v1/approvals", <body>)
print(approval["url"], file=sys.stderr)
while approval["status"] == "pending":
    approval = call("/v1/approvals/" + approval["id"] + "?wait=25")
if approval["status"] != "approved":
    sys.exit(approval["status"])
print(approval["access_token"])
