package main

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// claimsOf1x are the claims that JIT Access 1.8 signs (section 6.1 of its
// description): the clock starts when the request is made.
func claimsOf1x(now time.Time, edits object) object {
	c := object{
		"iss": stackAccount, "aud": stackAccount, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"jti": "mpa-Ab+/0123456789xY", "beneficiary": "alice@example.com", "reviewers": []string{"bob@example.com"},
		"entitlement": project + ":roles/compute.instanceAdmin.v1", "justification": "made by 1.x",
		"start": now.Unix(), "end": now.Add(30 * time.Minute).Unix(),
	}
	maps.Copy(c, edits)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// link1x signs claims and writes the link as 1.x does (section 6.3).
func (s *deployed) link1x(claims object) string {
	s.t.Helper()
	answer := s.call(stackAccount, "/v1/projects/-/serviceAccounts/"+stackAccount+":signJwt", object{"payload": toJSON(s.t, claims)})
	token, ok := strings.CutPrefix(answer["signedJwt"].(string), "ey")
	if !ok {
		s.t.Fatal("not a token")
	}
	return "?activation=" + url.QueryEscape(strings.ReplaceAll(strings.ReplaceAll(token, ".ey", "~~"), ".", "~"))
}

// Point 4: links that JIT Access 1.8 and 1.7 minted open, review and approve here.
func TestLinksOfJITAccess1(t *testing.T) {
	s := deploy(t)
	resource := "projects/" + project
	s.add(resource,
		eligibleBinding("roles/storage.objectAdmin", `has({}.multiPartyApprovalConstraint) && resource.name == 'it\'s "x"' && resource.type!="y"`, "alice", "bob"),
		eligibleBinding("roles/bigquery.dataEditor", `has({}.multiPartyApprovalConstraint) && resource.name == 'a\\b'`, "alice", "bob"))
	now := time.Now()
	full := "//cloudresourcemanager.googleapis.com/projects/" + project
	spelled := func(condition string) string {
		return project + ":roles/storage.objectAdmin:" + base64.StdEncoding.EncodeToString([]byte(condition))
	}
	for _, c := range []struct {
		name   string
		edits  object
		window [2]int64
	}{
		{"1.8", object{"jti": "mpa-AAAAAAAAAAAAAA+1"}, [2]int64{now.Unix(), now.Unix() + 1800}},
		{"1.8, waited for ten minutes: the clock runs on", object{"jti": "mpa-AAAAAAAAAAAAAA/2", "iat": now.Unix() - 600, "start": now.Unix() - 600, "end": now.Unix() + 600},
			[2]int64{now.Unix() - 600, now.Unix() + 600}},
		{"1.7, which names project and role", object{"jti": "mpa-AAAAAAAAAAAAAAA3", "entitlement": nil, "resource": full, "role": "roles/compute.instanceAdmin.v1"},
			[2]int64{now.Unix(), now.Unix() + 1800}},
		{"an address in capitals", object{"jti": "mpa-AAAAAAAAAAAAAAA4", "reviewers": []string{"Bob@Example.com"}, "beneficiary": "ALICE@example.com"},
			[2]int64{now.Unix(), now.Unix() + 1800}},
		{"a condition spelled with other quotes, escapes and spaces", object{"jti": "mpa-AAAAAAAAAAAAAAA5",
			"entitlement": spelled(`resource.name=="it's \"x\"" &&  (resource.type != '\x79')`)}, [2]int64{now.Unix(), now.Unix() + 1800}},
		{"an id without padding", object{"jti": "mpa-AAAAAAAAAAAAAAA6",
			"entitlement": strings.TrimRight(spelled(`resource.name == "it's \"x\"" && resource.type != "y"`), "=")}, [2]int64{now.Unix(), now.Unix() + 1800}},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := c.edits["jti"].(string)
			link := s.link1x(claimsOf1x(now, c.edits))
			// The mail's link leads to the page; opening changes nothing.
			home := s.send("bob", "GET", "/"+link+"&projectId="+project, "").want(t, http.StatusSeeOther)
			s.send("bob", "GET", home.header.Get("Location"), "").want(t, http.StatusOK, "alice@example.com", "Approve")
			s.send("alice", "GET", home.header.Get("Location"), "").want(t, http.StatusOK, "Your request")
			s.send("frank", "GET", home.header.Get("Location"), "").want(t, http.StatusForbidden)
			shown := s.api("bob", "/api/activation-request"+link, nil).want(t, 200, `"status":"ACTIVATION_PENDING"`, `"isReviewer":true`)
			if e := shown.Entitlements[0]; e.ActivationID != id || e.StartTime != c.window[0] || e.EndTime != c.window[1] {
				t.Errorf("shows %+v, want %v", e, c.window)
			}
			if len(s.described(resource, id)) > 0 {
				t.Fatal("opening it granted something")
			}
			s.api("alice", "/api/activation-request"+link, object{}).want(t, http.StatusForbidden)
			// As the pages of 1.x do: neither body nor content type.
			approved := s.send("bob", "POST", "/api/activation-request"+link, "", "X-JITACCESS", "1").want(t, 200, `"status":"ACTIVE"`)
			if e := approved.Entitlements[0]; e.StartTime != c.window[0] || e.EndTime != c.window[1] {
				t.Errorf("granted %+v, want %v", e, c.window)
			}
			bound := s.described(resource, "Approved by bob@example.com, justification: made by 1.x ["+id+"]")
			if len(bound) != 1 || !slices.Equal(bound[0].Members, []string{"user:alice@example.com"}) {
				t.Errorf("wrote %+v", bound)
			}
			s.api("bob", "/api/activation-request"+link, object{}).want(t, 200, `"status":"ACTIVE"`)
			if again := s.described(resource, id); len(again) != 1 {
				t.Errorf("approving again wrote %+v", again)
			}
			// The ids of 1.x may have a slash and a plus, and the pages' forms are to lead somewhere.
			for _, path := range []string{home.header.Get("Location"), "/access/projects/" + project} {
				page := s.send("alice", "GET", path, "").want(t, http.StatusOK, "End now").text
				if !strings.Contains(page, `action="/requests/`+url.QueryEscape(id)+`/end"`) {
					t.Errorf("%s ends nothing of id %s:\n%s", path, id, page)
				}
			}
			ended := s.send("alice", "POST", "/requests/"+url.QueryEscape(id)+"/end", url.Values{"resource": {resource}}.Encode(),
				"Content-Type", "application/x-www-form-urlencoded", "Origin", s.front).want(t, http.StatusSeeOther)
			s.send("alice", "GET", ended.header.Get("Location"), "").want(t, http.StatusOK, "Access ended")
			s.api("alice", "/api/requests/"+url.PathEscape(id)+"/end", object{"resource": resource}).want(t, 200, `"ENDED"`)
			s.api("bob", "/api/activation-request"+link, object{}).want(t, http.StatusGone)
		})
	}
	for _, c := range []struct {
		name   string
		edits  object
		status int
	}{
		{"its window is over (1.x granted an expired binding)", object{"iat": now.Unix() - 1800, "start": now.Unix() - 1800, "end": now.Unix() - 60}, http.StatusGone},
		{"signed more than six hours ago", object{"iat": now.Unix() - 6*3600 - 5, "exp": now.Unix() + 3600, "end": now.Unix() + 3600}, http.StatusGone},
		{"of another service account", object{"iss": "other@example-jitaccess.iam.gserviceaccount.com"}, http.StatusNotFound},
		{"without an entitlement", object{"entitlement": nil}, http.StatusNotFound},
		{"of 1.7 and 1.8 at once", object{"resource": full, "role": "roles/browser"}, http.StatusNotFound},
		// 1.x prints the text of a condition without escaping it (section 4.2).
		{"a quote that 1.x did not escape", object{"entitlement": spelled(`resource.name == "it's "x"" && resource.type != "y"`)}, http.StatusForbidden},
		{"a backslash that 1.x did not escape", object{"entitlement": project + ":roles/bigquery.dataEditor:" +
			base64.StdEncoding.EncodeToString([]byte(`resource.name == "a\b"`))}, http.StatusForbidden},
		{"of no activation", object{"jti": "jit-AAAAAAAAAAAAAAAA"}, http.StatusNotFound},
	} {
		t.Run("refused: "+c.name, func(t *testing.T) {
			s.api("bob", "/api/activation-request"+s.link1x(claimsOf1x(now, c.edits)), object{}).want(t, c.status)
		})
	}
	t.Run("a condition that means something else is another entitlement", func(t *testing.T) {
		link := s.link1x(claimsOf1x(now, object{"entitlement": spelled(`resource.name == "it's \"x\"" || resource.type != "y"`)}))
		s.api("bob", "/api/activation-request"+link, object{}).want(t, http.StatusForbidden, "requester-lost")
	})
}

// Ours open in 1.8, after a roll-back: it verifies the signature, and finds every
// claim that it reads in the form in which it reads it (section 6.2).
func TestOurLinksOpenInJITAccess1(t *testing.T) {
	s := deploy(t)
	asked := s.api("alice", "/api/projects/"+project+"/roles/request", object{"entitlementId": project + ":roles/compute.instanceAdmin.v1",
		"peers": []string{"bob@example.com"}, "justification": "rolled back", "activationTimeout": 45}).want(t, 200)
	link, err := url.Parse(asked.ReviewURL)
	if err != nil || link.Path != "/" || link.Query().Get("projectId") != project {
		t.Fatalf("link %q", asked.ReviewURL)
	}
	token := "ey" + strings.ReplaceAll(strings.ReplaceAll(link.Query().Get("activation"), "~~", ".ey"), "~", ".")
	claims := s.verifyAs1x(token)
	now := time.Now().Unix()
	number := func(name string) int64 { return int64(claims[name].(float64)) }
	if claims["iss"] != stackAccount || claims["aud"] != stackAccount || claims["beneficiary"] != "alice@example.com" ||
		claims["entitlement"] != project+":roles/compute.instanceAdmin.v1" || claims["justification"] != "rolled back" ||
		claims["jti"] != asked.Entitlements[0].ActivationID || toJSON(t, claims["reviewers"]) != "[\"bob@example.com\"]\n" {
		t.Errorf("claims %v", claims)
	}
	if number("start") != number("iat") || number("end") != number("start")+45*60 || number("exp") <= now || number("iat") > now {
		t.Errorf("clock of %v", claims)
	}

	// Of several roles 1.8 would grant one; it must refuse instead.
	s.add("projects/"+project, eligibleBinding("roles/pubsub.editor", "has({}.multiPartyApprovalConstraint)", "alice", "bob"))
	asked = s.api("alice", "/api/projects/"+project+"/roles/request", object{"entitlementIds": []string{project + ":roles/compute.instanceAdmin.v1", project + ":roles/pubsub.editor"},
		"peers": []string{"bob@example.com"}, "justification": "rolled back", "activationTimeout": 45}).want(t, 200)
	link, _ = url.Parse(asked.ReviewURL)
	token = "ey" + strings.ReplaceAll(strings.ReplaceAll(link.Query().Get("activation"), "~~", ".ey"), "~", ".")
	if _, one := s.verifyAs1x(token)["entitlement"]; one {
		t.Error("a link of several roles has the claim of one")
	}
}

// verifyAs1x verifies a token with the published keys of the service account.
func (s *deployed) verifyAs1x(token string) object {
	s.t.Helper()
	answer, err := http.Get(s.google + "/service_accounts/v1/metadata/jwk/" + stackAccount)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	var set struct{ Keys []struct{ Kid, N, E string } }
	if err := json.Unmarshal(text, &set); err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
	raw := func(text string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			s.t.Fatal(err)
		}
		return b
	}
	parts := strings.Split(token, ".")
	var header struct{ Alg, Kid string }
	var claims object
	if len(parts) != 3 || json.Unmarshal(raw(parts[0]), &header) != nil || json.Unmarshal(raw(parts[1]), &claims) != nil || header.Alg != "RS256" {
		s.t.Fatalf("token %q", token)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	for _, k := range set.Keys {
		if k.Kid == header.Kid {
			key := &rsa.PublicKey{N: new(big.Int).SetBytes(raw(k.N)), E: int(new(big.Int).SetBytes(raw(k.E)).Int64())}
			if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], raw(parts[2])); err != nil {
				s.t.Fatal(err)
			}
			return claims
		}
	}
	s.t.Fatal("signed by an unknown key")
	return nil
}
