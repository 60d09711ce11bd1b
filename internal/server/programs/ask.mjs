import njwt from "njwt";

const api = <api>;
const key = Buffer.from(process.env.SIGNING_KEY, "base64");
const token = () => njwt.create({iss: <uri>, aud: api, sub: <sub>}, key)
  .setExpiration(Date.now() + 5 * 60 * 1000).compact();

async function call(path, options) {
  const answer = await fetch(api + path, {...options,
    headers: {"Authorization": "Bearer " + token(), "Content-Type": "application/json"}});
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.detail);
  const later = Number(answer.headers.get("Retry-After"));
  if (later) await new Promise(resolve => setTimeout(resolve, later * 1000));
  return said;
}

let approval = await call("/v1/approvals", {method: "POST", body: JSON.stringify(<body>)});
console.error(approval.url);
while (approval.status === "pending")
  approval = await call("/v1/approvals/" + approval.id + "?wait=25");
if (approval.status !== "approved") throw new Error(approval.status);
console.log(approval.access_token);
