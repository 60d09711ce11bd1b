package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"jitaccess/internal/config"
	"jitaccess/internal/gcp"
	"jitaccess/internal/identity"
	"jitaccess/internal/jose"
	"jitaccess/internal/outbound"
)

func (d *doctor) identity(context.Context) {
	p := d.Platform
	d.ok("identity", "project %s, number %s, region %s, service account %s", p.Project,
		cmp.Or(p.ProjectNumber, "unknown"), cmp.Or(p.Region, "unknown"), p.ServiceAccount)
}

func (d *doctor) audience(context.Context) {
	s := d.Settings.Identity
	switch {
	case d.IdentityFault != nil && !d.behindIAP():
		d.broken("audience", "nobody can be identified: "+d.IdentityFault.Error(), "docs/identity.md has what IDENTITY="+s.Profile+" needs")
	case d.IdentityFault != nil:
		d.broken("audience", "nobody can be identified: "+d.IdentityFault.Error(),
			"set IAP_AUDIENCE; https://cloud.google.com/iap/docs/signed-headers-howto has its form")
	case d.behindIAP() && !s.VerifyAudience:
		d.warn("audience", "assertions for any service of this project are accepted", "set IAP_AUDIENCE instead of IAP_VERIFY_AUDIENCE=false")
	default:
		d.ok("audience", "people are identified by %s; assertions are accepted for %s", cmp.Or(d.Identity.Method, "iap"), d.Identity.Expected)
	}
}

// behindIAP is whether Identity-Aware Proxy stands in front.
func (d *doctor) behindIAP() bool {
	return d.Settings.Identity.Profile == config.IAP
}

// probeTimeout bounds the look at our own address.
const probeTimeout = 10 * time.Second

func (d *doctor) publicOrigin(ctx context.Context) {
	const check = "public address"
	origin := d.Settings.Server.PublicURL
	if origin == "" {
		d.ownOrigin(ctx, check)
		return
	}
	if !d.behindIAP() {
		d.publicAddress(ctx)
		return
	}
	response, _ := d.ownAnswer(ctx, check, origin)
	if response == nil {
		return
	}
	// IAP marks what it answers itself
	// (https://cloud.google.com/iap/docs/faq#how_can_i_tell_if_a_response_was_generated_by_iap).
	if response.Header.Get("X-Goog-IAP-Generated-Response") != "true" {
		d.warn(check, fmt.Sprintf("%s answers %d, and not through IAP: links may lead nowhere, or around IAP", origin, response.StatusCode),
			"open it in a private window: it has to ask for a sign-in")
		return
	}
	d.ok(check, "links begin with %s, where IAP answers", origin)
}

// ownAnswer is what answers at the address of links, and the beginning of what it says; nil, and
// a warning, for nothing.
func (d *doctor) ownAnswer(ctx context.Context, check, origin string) (*http.Response, []byte) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, origin+"/health/alive", nil) // config has parsed it
	response, err := outbound.Client("identity", nil).Do(request)
	if err != nil {
		d.warn(check, "links begin with "+origin+", which does not answer from here: "+err.Error(), "open it in a browser")
		return nil, nil
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(outbound.Bound(response.Body, 1<<16))
	return response, text
}

func (d *doctor) ownOrigin(ctx context.Context, check string) {
	c, p := d.Settings, d.Platform
	cloudRun := fmt.Sprintf("%s-%s.%s.run.app", c.Service, p.ProjectNumber, p.Region)
	// Only the default service of App Engine has the host of the project
	// (https://cloud.google.com/appengine/docs/standard/how-requests-are-routed).
	appEngine := p.Project
	if c.Service != "default" {
		appEngine = c.Service + "-dot-" + p.Project
	}
	var domains []struct{ ID string }
	if c.Platform == config.AppEngine {
		// Under a domain of one's own JIT Access 1.x wrote links without being told. One
		// on a load balancer cannot be seen from here.
		domains, _ = ofApp[struct{ ID string }](ctx, d, "/domainMappings")
	}
	switch {
	case c.Identity.BackendServiceID != "":
		d.broken(check, "PUBLIC_URL is not set: behind a load balancer's own domain no link can be written, so nobody can request approval",
			d.set("PUBLIC_URL=https://YOUR-HOST"))
	case len(domains) > 0:
		d.broken(check, "PUBLIC_URL is not set, and the application has the domain "+domains[0].ID+
			": under it no link can be written, so nobody can request approval", d.set("PUBLIC_URL=https://"+domains[0].ID))
	case d.Origin(appEngine+".appspot.com") != "":
		d.ok(check, "links can be written under https://%[1]s.appspot.com and https://%[1]s.REGION.r.appspot.com; "+
			"under any other address set PUBLIC_URL", appEngine)
	case d.Origin(cloudRun) != "":
		d.ok(check, "links can be written under https://%s; under any other address set PUBLIC_URL", cloudRun)
	default:
		d.broken(check, "PUBLIC_URL is not set, and no address is certainly ours here", d.set("PUBLIC_URL=https://YOUR-HOST"))
	}
}

func (d *doctor) set(assignment string) string {
	switch c, p := d.Settings, d.Platform; {
	case c.Platform == config.CloudRun && p.Region != "":
		return gcloud("run", "services", "update", c.Service, "--region", p.Region, "--update-env-vars", assignment, "--project", p.Project)
	case c.Platform == config.AppEngine:
		return "set " + assignment + " under env_variables in app.yaml, and deploy"
	}
	return "set " + assignment
}

// identityKeys are those by which people are identified.
func (d *doctor) identityKeys(ctx context.Context) {
	switch {
	case d.behindIAP():
		d.keySet(ctx, "IAP", "www.gstatic.com", d.Platform.IAPKeys)
	case d.IdentityKeys != nil:
		if err := d.IdentityKeys(ctx); err != nil {
			d.broken("keys", "nobody can be identified: the keys of "+d.Identity.Method+" cannot be had: "+why(err),
				"let the service reach them; docs/identity.md says where they are")
		} else {
			d.ok("keys", "the keys of %s can be had", d.Identity.Method)
		}
		if ahead, known := d.IdentityClock(ctx); known && ahead.Abs() > identity.Skew {
			d.warn("clock", fmt.Sprintf("the clock here is %v ahead of that of the key server of %s", ahead, d.Identity.Method),
				"set it by NTP: assertions are refused as expired or as of the future")
		}
	}
}

func (d *doctor) keys(ctx context.Context) {
	d.keySet(ctx, "the service account", "www.googleapis.com", d.Platform.ServiceAccountKeys)
}

func (d *doctor) keySet(ctx context.Context, of, host string, fetch jose.Fetch) {
	document, err := fetch(ctx)
	var parsed struct{ Keys []json.RawMessage }
	if err == nil {
		err = json.Unmarshal(document, &parsed)
	}
	if err == nil && len(parsed.Keys) == 0 {
		err = errors.New("there is no key in it")
	}
	if err == nil {
		d.ok("keys", "public keys of %s: %d", of, len(parsed.Keys))
		return
	}
	remedy := "let the service reach https://" + host
	if status, _ := gcp.Answer(err); status == http.StatusBadRequest || status == http.StatusNotFound {
		remedy = "it is reached, and answers that there are none: see whether a proxy answers in its place, and whether " +
			d.Platform.ServiceAccount + " still exists"
	}
	d.broken("keys", "the public keys of "+of+" cannot be had: "+why(err), remedy)
}

// signing signs a token and verifies it. It has another purpose than those in
// links, and not their claims, so it is good for nothing.
func (d *doctor) signing(ctx context.Context) {
	now := d.Now()
	payload, _ := json.Marshal(map[string]any{ // texts and numbers, so that it cannot fail
		"iss": d.Platform.ServiceAccount, "aud": d.Platform.ServiceAccount, "purpose": "doctor",
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	})
	signed, err := d.Sign(ctx, payload)
	if err != nil {
		d.failed("signing", "no link can be signed", err, "iamcredentials.googleapis.com", d.tokenCreator())
		return
	}
	if _, err := jose.Verify(ctx, signed, jose.RS256, jose.NewKeySet(d.Platform.ServiceAccountKeys, d.Now)); err != nil {
		d.broken("signing", "a token that was just signed does not verify: "+why(err),
			"try again in a minute: a new key may not be published yet")
		return
	}
	d.ok("signing", "a token was signed and verified")
}
