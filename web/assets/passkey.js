// Forms with data-passkey are sent with what an authenticator has made: a new key
// ("create"), or a signature by one that there is ("get").
(() => {
  const form = document.querySelector("form[data-passkey]");
  if (!form) return;
  const words = document.currentScript.dataset, asked = form.dataset;
  const status = form.querySelector("[data-passkey-status]");
  if (!window.PublicKeyCredential) {
    status.textContent = words.unsupported;
    return;
  }
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const keys = asked.credentials.split(" ").filter(Boolean).map((id) => ({ type: "public-key", id: bytes(id) }));
  const make = () => navigator.credentials.create({ publicKey: {
    challenge: bytes(asked.challenge), rp: { id: asked.party, name: asked.party },
    user: { id: bytes(asked.user), name: asked.person, displayName: asked.person },
    pubKeyCredParams: [-7, -8, -257].map((alg) => ({ type: "public-key", alg })),
    excludeCredentials: keys, attestation: "none", timeout: 240000,
    authenticatorSelection: { userVerification: "required", residentKey: "preferred" },
  } });
  const sign = () => navigator.credentials.get({ publicKey: {
    challenge: bytes(asked.challenge), rpId: asked.party, allowCredentials: keys, userVerification: "required", timeout: 240000,
  } });
  let busy = false;
  form.addEventListener("submit", async (e) => {
    if (e.defaultPrevented) return;
    e.preventDefault();
    if (busy) return;
    busy = true;
    status.textContent = words.waiting;
    try {
      const made = await (asked.passkey === "create" ? make() : sign()), said = made.response;
      const parts = { credential: made.rawId, "client-data": said.clientDataJSON };
      if (asked.passkey === "create") {
        parts["public-key"] = said.getPublicKey();
        parts["authenticator-data"] = said.getAuthenticatorData();
      } else {
        parts.signature = said.signature;
        parts["authenticator-data"] = said.authenticatorData;
      }
      for (const [name, part] of Object.entries(parts)) form.elements.namedItem(name).value = text(part);
      form.submit();
    } catch (error) {
      busy = false;
      status.textContent = error.name === "InvalidStateError" ? words.known : words.refused;
    }
  });
})();
