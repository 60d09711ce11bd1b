package main

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const account = "jitaccess@example-jitaccess.iam.gserviceaccount.com"

// claimsOf1x are the claims that JIT Access 1.8 signs (section 6.1 of its
// description): the clock starts when the request is made.
func claimsOf1x(now time.Time, edits dict) dict {
	c := dict{
		"iss": account, "aud": account, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"jti": "mpa-Ab+/0123456789xY", "beneficiary": "alice@example.com", "reviewers": []string{"bob@example.com"},
		"entitlement": project + ":roles/compute.instanceAdmin.v1", "justification": "made by 1.x",
		"start": now.Unix(), "end": now.Add(30 * time.Minute).Unix(),
	}
	maps.Copy(c, edits)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// link1x signs claims and writes the link as 1.x does (section 6.3).
func (w *world) link1x(claims dict) string {
	w.t.Helper()
	token, ok := strings.CutPrefix(w.signAsAccount(encoded(w.t, claims)), "ey")
	if !ok {
		w.t.Fatal("not a token")
	}
	return "?activation=" + url.QueryEscape(strings.ReplaceAll(strings.ReplaceAll(token, ".ey", "~~"), ".", "~"))
}

// Point 4: links that JIT Access 1.8 and 1.7 minted open, review and approve here.
func TestLinksOfJITAccess1(t *testing.T) {
	w := newWorld(t, surroundings{})
	resource := "projects/" + project
	w.add(resource,
		eligibleBinding("roles/storage.objectAdmin", `has({}.multiPartyApprovalConstraint) && resource.name == 'it\'s "x"' && resource.type!="y"`, "alice", "bob"),
		eligibleBinding("roles/bigquery.dataEditor", `has({}.multiPartyApprovalConstraint) && resource.name == 'a\\b'`, "alice", "bob"))
	now := time.Now()
	full := "//cloudresourcemanager.googleapis.com/projects/" + project
	spelled := func(condition string) string {
		return project + ":roles/storage.objectAdmin:" + base64.StdEncoding.EncodeToString([]byte(condition))
	}
	for _, c := range []struct {
		name   string
		edits  dict
		window [2]int64
	}{
		{"1.8", dict{"jti": "mpa-AAAAAAAAAAAAAA+1"}, [2]int64{now.Unix(), now.Unix() + 1800}},
		{"1.8, waited for ten minutes: the clock runs on", dict{"jti": "mpa-AAAAAAAAAAAAAA/2", "iat": now.Unix() - 600, "start": now.Unix() - 600, "end": now.Unix() + 600},
			[2]int64{now.Unix() - 600, now.Unix() + 600}},
		{"1.7, which names project and role", dict{"jti": "mpa-AAAAAAAAAAAAAAA3", "entitlement": nil, "resource": full, "role": "roles/compute.instanceAdmin.v1"},
			[2]int64{now.Unix(), now.Unix() + 1800}},
		{"an address in capitals", dict{"jti": "mpa-AAAAAAAAAAAAAAA4", "reviewers": []string{"Bob@Example.com"}, "beneficiary": "ALICE@example.com"},
			[2]int64{now.Unix(), now.Unix() + 1800}},
		{"a condition spelled with other quotes, escapes and spaces", dict{"jti": "mpa-AAAAAAAAAAAAAAA5",
			"entitlement": spelled(`resource.name=="it's \"x\"" &&  (resource.type != '\x79')`)}, [2]int64{now.Unix(), now.Unix() + 1800}},
		{"an id without padding", dict{"jti": "mpa-AAAAAAAAAAAAAAA6",
			"entitlement": strings.TrimRight(spelled(`resource.name == "it's \"x\"" && resource.type != "y"`), "=")}, [2]int64{now.Unix(), now.Unix() + 1800}},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := c.edits["jti"].(string)
			link := w.link1x(claimsOf1x(now, c.edits))
			// The mail's link leads to the page; opening changes nothing.
			home := w.call("bob", "GET", "/"+link+"&projectId="+project, "").expect(t, http.StatusSeeOther)
			w.call("bob", "GET", home.location, "").expect(t, http.StatusOK, "alice@example.com", "Approve")
			w.call("alice", "GET", home.location, "").expect(t, http.StatusOK, "Your request")
			w.call("frank", "GET", home.location, "").expect(t, http.StatusForbidden)
			shown := w.api("bob", "/api/activation-request"+link, nil).expect(t, 200, `"status":"ACTIVATION_PENDING"`, `"isReviewer":true`)
			if e := shown.Entitlements[0]; e.ActivationID != id || e.StartTime != c.window[0] || e.EndTime != c.window[1] {
				t.Errorf("shows %+v, want %v", e, c.window)
			}
			if len(w.described(resource, id)) > 0 {
				t.Fatal("opening it granted something")
			}
			w.api("alice", "/api/activation-request"+link, dict{}).expect(t, http.StatusForbidden)
			// As the pages of 1.x do: neither body nor content type.
			approved := w.call("bob", "POST", "/api/activation-request"+link, "", "X-JITACCESS", "1").expect(t, 200, `"status":"ACTIVE"`)
			if e := approved.Entitlements[0]; e.StartTime != c.window[0] || e.EndTime != c.window[1] {
				t.Errorf("granted %+v, want %v", e, c.window)
			}
			bound := w.described(resource, "Approved by bob@example.com, justification: made by 1.x ["+id+"]")
			if len(bound) != 1 || !slices.Equal(bound[0].Members, []string{"user:alice@example.com"}) {
				t.Errorf("wrote %+v", bound)
			}
			w.api("bob", "/api/activation-request"+link, dict{}).expect(t, 200, `"status":"ACTIVE"`)
			if again := w.described(resource, id); len(again) != 1 {
				t.Errorf("approving again wrote %+v", again)
			}
			// The ids of 1.x may have a slash and a plus, and the pages' forms are to lead somewhere.
			for _, path := range []string{home.header.Get("Location"), "/access/projects/" + project} {
				page := w.call("alice", "GET", path, "").expect(t, http.StatusOK, "End now").body
				if !strings.Contains(page, `action="/requests/`+url.QueryEscape(id)+`/end"`) {
					t.Errorf("%s ends nothing of id %s:\n%s", path, id, page)
				}
			}
			w.call("alice", "POST", "/requests/"+url.QueryEscape(id)+"/end", url.Values{"resource": {resource}}.Encode(),
				"Content-Type", "application/x-www-form-urlencoded", "Origin", w.public).expect(t, http.StatusOK, "Access ended")
			w.api("alice", "/api/requests/"+url.PathEscape(id)+"/end", dict{"resource": resource}).expect(t, 200, `"ENDED"`)
			w.api("bob", "/api/activation-request"+link, dict{}).expect(t, http.StatusGone)
		})
	}
	for _, c := range []struct {
		name   string
		edits  dict
		status int
	}{
		{"its window is over (1.x granted an expired binding)", dict{"iat": now.Unix() - 1800, "start": now.Unix() - 1800, "end": now.Unix() - 60}, http.StatusGone},
		{"signed more than six hours ago", dict{"iat": now.Unix() - 6*3600 - 5, "exp": now.Unix() + 3600, "end": now.Unix() + 3600}, http.StatusGone},
		{"of another service account", dict{"iss": "other@example-jitaccess.iam.gserviceaccount.com"}, http.StatusNotFound},
		{"without an entitlement", dict{"entitlement": nil}, http.StatusNotFound},
		{"of 1.7 and 1.8 at once", dict{"resource": full, "role": "roles/browser"}, http.StatusNotFound},
		// 1.x prints the text of a condition without escaping it (section 4.2).
		{"a quote that 1.x did not escape", dict{"entitlement": spelled(`resource.name == "it's "x"" && resource.type != "y"`)}, http.StatusForbidden},
		{"a backslash that 1.x did not escape", dict{"entitlement": project + ":roles/bigquery.dataEditor:" +
			base64.StdEncoding.EncodeToString([]byte(`resource.name == "a\b"`))}, http.StatusForbidden},
		{"of no activation", dict{"jti": "jit-AAAAAAAAAAAAAAAA"}, http.StatusNotFound},
	} {
		t.Run("refused: "+c.name, func(t *testing.T) {
			w.api("bob", "/api/activation-request"+w.link1x(claimsOf1x(now, c.edits)), dict{}).expect(t, c.status)
		})
	}
	t.Run("a condition that means something else is another entitlement", func(t *testing.T) {
		link := w.link1x(claimsOf1x(now, dict{"entitlement": spelled(`resource.name == "it's \"x\"" || resource.type != "y"`)}))
		w.api("bob", "/api/activation-request"+link, dict{}).expect(t, http.StatusForbidden, "requester-lost")
	})
}

// Ours open in 1.8, after a roll-back: it verifies the signature, and finds every
// claim that it reads in the form in which it reads it (section 6.2).
func TestOurLinksOpenInJITAccess1(t *testing.T) {
	w := newWorld(t, surroundings{})
	asked := w.api("alice", "/api/projects/"+project+"/roles/request", dict{"entitlementId": project + ":roles/compute.instanceAdmin.v1",
		"peers": []string{"bob@example.com"}, "justification": "rolled back", "activationTimeout": 45}).expect(t, 200)
	link, err := url.Parse(asked.ReviewURL)
	if err != nil || link.Path != "/" || link.Query().Get("projectId") != project {
		t.Fatalf("link %q", asked.ReviewURL)
	}
	token := "ey" + strings.ReplaceAll(strings.ReplaceAll(link.Query().Get("activation"), "~~", ".ey"), "~", ".")
	claims := w.verifyAs1x(token)
	now := time.Now().Unix()
	number := func(name string) int64 { return int64(claims[name].(float64)) }
	if claims["iss"] != account || claims["aud"] != account || claims["beneficiary"] != "alice@example.com" ||
		claims["entitlement"] != project+":roles/compute.instanceAdmin.v1" || claims["justification"] != "rolled back" ||
		claims["jti"] != asked.Entitlements[0].ActivationID || encoded(t, claims["reviewers"]) != "[\"bob@example.com\"]" {
		t.Errorf("claims %v", claims)
	}
	if number("start") != number("iat") || number("end") != number("start")+45*60 || number("exp") <= now || number("iat") > now {
		t.Errorf("clock of %v", claims)
	}

	// Of several roles 1.8 would grant one; it must refuse instead.
	w.add("projects/"+project, eligibleBinding("roles/pubsub.editor", "has({}.multiPartyApprovalConstraint)", "alice", "bob"))
	asked = w.api("alice", "/api/projects/"+project+"/roles/request", dict{"entitlementIds": []string{project + ":roles/compute.instanceAdmin.v1", project + ":roles/pubsub.editor"},
		"peers": []string{"bob@example.com"}, "justification": "rolled back", "activationTimeout": 45}).expect(t, 200)
	link, _ = url.Parse(asked.ReviewURL)
	token = "ey" + strings.ReplaceAll(strings.ReplaceAll(link.Query().Get("activation"), "~~", ".ey"), "~", ".")
	if _, one := w.verifyAs1x(token)["entitlement"]; one {
		t.Error("a link of several roles has the claim of one")
	}
}

// verifyAs1x verifies a token with the published keys of the service account.
func (w *world) verifyAs1x(token string) dict {
	w.t.Helper()
	text := w.get("/service_accounts/v1/metadata/jwk/" + account)
	var set struct{ Keys []struct{ Kid, N, E string } }
	if err := json.Unmarshal([]byte(text), &set); err != nil {
		w.t.Fatalf("%s: %v", text, err)
	}
	raw := func(text string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			w.t.Fatal(err)
		}
		return b
	}
	parts := strings.Split(token, ".")
	var header struct{ Alg, Kid string }
	var claims dict
	if len(parts) != 3 || json.Unmarshal(raw(parts[0]), &header) != nil || json.Unmarshal(raw(parts[1]), &claims) != nil || header.Alg != "RS256" {
		w.t.Fatalf("token %q", token)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	for _, k := range set.Keys {
		if k.Kid == header.Kid {
			key := &rsa.PublicKey{N: new(big.Int).SetBytes(raw(k.N)), E: int(new(big.Int).SetBytes(raw(k.E)).Int64())}
			if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], raw(parts[2])); err != nil {
				w.t.Fatal(err)
			}
			return claims
		}
	}
	w.t.Fatal("signed by an unknown key")
	return nil
}
