"""A program that asks for somebody's approval, waits for it, checks what it is handed, and gives it back."""
import base64, json, os, time, urllib.parse, urllib.request
import jwt

api, uri = os.environ["API_HOST"], os.environ["APP_URI"]
key = base64.b64decode(os.environ["APP_KEY"])


def token():
    now = int(time.time())
    claims = {"iss": uri, "aud": api, "sub": os.environ["USERNAME"], "nbf": now - 60, "exp": now + 300, "otherClaim": "CHG-7"}
    return jwt.encode(claims, key, algorithm="HS256")


def call(method, path, body=None, form=None, **headers):
    headers = {"Authorization": "Bearer " + token(), **headers}
    data = None
    if body is not None:
        data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    if form is not None:
        data, headers["Content-Type"] = urllib.parse.urlencode(form).encode(), "application/x-www-form-urlencoded"
    request = urllib.request.Request(api + path, data=data, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=40) as answer:
        return json.load(answer)


asked = {"template": "production-deploy", "data": {"version": "v1.2", "cluster": "eu"}}
approval = call("POST", "/v1/approvals", asked, **{"Idempotency-Key": "deploy-7"})
again = call("POST", "/v1/approvals", asked, **{"Idempotency-Key": "deploy-7"})
assert approval["id"] == again["id"], "two approvals for one key"
print(json.dumps({"id": approval["id"]}), flush=True)
while approval["status"] == "pending":
    approval = call("GET", f"/v1/approvals/{approval['id']}?wait=20")

metadata = json.load(urllib.request.urlopen(api + "/.well-known/oauth-authorization-server"))
access = approval["access_token"]
signing = jwt.PyJWKClient(metadata["jwks_uri"]).get_signing_key_from_jwt(access)
claims = jwt.decode(access, signing.key, algorithms=["ES256"], audience=uri, issuer=metadata["issuer"])
active = call("POST", "/v1/introspect", form={"token": access})["active"]
call("POST", "/v1/revoke", form={"token": access})
after = call("POST", "/v1/introspect", form={"token": access})["active"]
ended = call("GET", f"/v1/approvals/{approval['id']}")
print(json.dumps({"status": approval["status"], "good": True, "active": active, "claims": claims, "after": after, "ended": ended["status"]}))
