package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"jitaccess/internal/bearer"
)

// deployKey is what the program of these tests and the service share.
var deployKey = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{6}, 32))

const deployURI = "https://deploy.example.com"

// deployerPolicy is a policy file with one application, whose key lies in a file.
func deployerPolicy(t testing.TB) string {
	t.Helper()
	key, file := filepath.Join(t.TempDir(), "deployer.key"), filepath.Join(t.TempDir(), "policy.yaml")
	text := fmt.Sprintf(`version: 1
unmatched: marker
applications:
  - name: deployer
    uri: %s
    signing_key: %s
    templates:
      - key: production-deploy
        type: approve
        name: Production deploy
        title: Deploy {version} to {cluster}
        data: [{name: version, label: Version, pattern: '^v[0-9.]+$'}, {name: cluster, label: Cluster}]
        claims: [otherClaim]
        approvals: 1
        approvers: ["user:%s"]
        max_duration: 2h
        metadata: {team: shop}
`, deployURI, key, bob)
	for path, content := range map[string]string{key: deployKey + "\n", file: text} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// programWorld is a world in which an application asks.
func programWorld(t testing.TB) *world {
	t.Helper()
	return newWorld(t, surroundings{environment: map[string]string{"POLICY": deployerPolicy(t), "DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "jitaccess.db"),
		"SIGNING_KEY": crashKey, "K_SERVICE": "", "IAP_AUDIENCE": "/projects/264853019977/locations/europe-west1/services/jitaccess"}})
}

// collected is what a program says at its end.
type collected struct {
	Status       string
	Good, Active bool
	Claims       struct {
		Iss, Aud, Sub, Jti, Scope string
		Client                    string `json:"client_id"`
		Exp, Nbf                  int64
		Approval                  bearer.Approval
	}
	After *bool
	Ended string
}

// Programs as customers write them, in JavaScript with njwt and in Python with pyjwt, ask for
// Alice, wait while Bob decides on the page, and check what they are handed by what is
// published.
func TestProgramsAskAndGoOn(t *testing.T) {
	if _, err := os.Stat("testdata/programs/node_modules/njwt"); err != nil {
		t.Fatalf("njwt is not installed; make test does that: %v", err)
	}
	w := programWorld(t)
	for _, line := range [][]string{{"node", "testdata/programs/deployer.cjs"}, {"/usr/bin/python3", "testdata/programs/deployer.py"}} {
		t.Run(line[1], func(t *testing.T) {
			command := exec.CommandContext(t.Context(), line[0], line[1:]...)
			command.Env = append(os.Environ(), "APP_URI="+deployURI, "API_HOST="+w.public, "USERNAME="+alice, "APP_KEY="+deployKey, "SIGNING_KEY="+deployKey)
			var said strings.Builder
			command.Stderr = &said
			output, err := command.StdoutPipe()
			if err == nil {
				err = command.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			lines := json.NewDecoder(bufio.NewReader(output))
			var made struct{ ID string }
			if err := lines.Decode(&made); err != nil {
				command.Wait()
				t.Fatal(err, said.String(), w.log.String())
			}
			page := w.page(bob, "/review?activation="+made.ID)
			for _, shown := range []string{"Deploy v1.2 to eu", "deployer", "CHG-7", alice} {
				if !strings.Contains(page.body, shown) {
					t.Errorf("the page does not show %q", shown)
				}
			}
			approved := time.Now()
			if a := w.form(bob, "/review?activation="+made.ID, url.Values{"verdict": {"approve"}}); a.status >= 400 {
				t.Fatal(a.status, a.body)
			}
			var c collected
			err = lines.Decode(&c)
			if waited := command.Wait(); err != nil || waited != nil {
				t.Fatal(err, waited, said.String())
			}
			if c.Status != "approved" || !c.Good || !c.Active || c.Claims.Iss != w.public || c.Claims.Aud != deployURI || c.Claims.Sub != alice || c.Claims.Jti != made.ID ||
				c.Claims.Scope != "production-deploy" || c.Claims.Client != "deployer" || c.Claims.Approval.Signed || len(c.Claims.Approval.Approvers) != 1 ||
				c.Claims.Approval.Approvers[0] != bob || c.Claims.Approval.DataDigest != bearer.DataDigest(map[string]string{"version": "v1.2", "cluster": "eu"}) {
				t.Errorf("%+v", c)
			}
			if length := time.Duration(c.Claims.Exp-c.Claims.Nbf) * time.Second; length != map[bool]time.Duration{true: 20, false: 30}[line[0] == "node"]*time.Minute ||
				c.Claims.Nbf < approved.Add(-time.Minute).Unix() {
				t.Errorf("the window is %v long, from %d", length, c.Claims.Nbf)
			}
			if line[0] != "node" && (c.After == nil || *c.After || c.Ended != "ended") {
				t.Errorf("given back it is %v, %q", c.After, c.Ended)
			}
		})
	}
}

// deployer is a program in Go.
type deployer struct {
	t  testing.TB
	w  *world
	to string
}

func (d deployer) token(edits ...func(jwt.MapClaims)) string {
	d.t.Helper()
	claims := jwt.MapClaims{"iss": "deploy.example.com", "aud": d.w.public, "sub": alice, "exp": d.w.now().Add(5 * time.Minute).Unix(), "otherClaim": "CHG-7"}
	for _, edit := range edits {
		edit(claims)
	}
	key, _ := base64.StdEncoding.DecodeString(deployKey)
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key)
	if err != nil {
		d.t.Fatal(err)
	}
	return text
}

func (d deployer) call(method, path, key string, body any) (status int, said map[string]any) {
	d.t.Helper()
	var content io.Reader
	if body != nil {
		content = strings.NewReader(encoded(d.t, body))
	}
	r, err := http.NewRequest(method, d.to+path, content)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.token())
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	a, err := client.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer a.Body.Close()
	if err := json.NewDecoder(a.Body).Decode(&said); err != nil {
		d.t.Fatal(err)
	}
	return a.StatusCode, said
}

func deployBody(edits dict) dict {
	return with(dict{"template": "production-deploy", "data": dict{"version": "v1.2", "cluster": "eu"}}, edits)
}

// What a program in Go does, against the whole service: a denial stops it, so does whoever
// ends what was approved, at once; and the same is the same, before and after.
func TestAProgramIsStopped(t *testing.T) {
	w := programWorld(t)
	d := deployer{t, w, w.url}
	status, made := d.call("POST", "/v1/approvals", "a", deployBody(nil))
	if status != http.StatusAccepted || made["status"] != "pending" || !strings.HasPrefix(made["url"].(string), w.public) {
		t.Fatal(status, made)
	}
	id := made["id"].(string)
	answers := make(chan map[string]any)
	look := func() {
		_, said := d.call("GET", "/v1/approvals/"+id+"?wait=25", "", nil)
		answers <- said
	}
	go look()
	if a := w.form(bob, "/review?activation="+id, url.Values{"verdict": {"deny"}, "comment": {"not on a Friday"}}); a.status >= 400 {
		t.Fatal(a.status, a.body)
	}
	said := <-answers
	if decisions := said["decisions"].([]any); said["status"] != "denied" || decisions[0].(map[string]any)["comment"] != "not on a Friday" {
		t.Error(said)
	}
	for key, want := range map[string]int{"a": http.StatusAccepted, "b": http.StatusConflict} {
		body := deployBody(nil)
		if key == "b" {
			body = deployBody(dict{"minutes": 7})
		}
		if status, said := d.call("POST", "/v1/approvals", "a", body); status != want || want == http.StatusAccepted && said["status"] != "denied" {
			t.Error(key, status, said)
		}
	}
	_, made = d.call("POST", "/v1/approvals", "c", deployBody(nil))
	id = made["id"].(string)
	if a := w.form(bob, "/review?activation="+id, url.Values{"verdict": {"approve"}}); a.status >= 400 {
		t.Fatal(a.status, a.body)
	}
	if _, said := d.call("GET", "/v1/approvals/"+id, "", nil); said["status"] != "approved" || said["access_token"] == nil || said["metadata"].(map[string]any)["team"] != "shop" {
		t.Fatal(said)
	}
	if a := w.form(bob, "/requests/"+id+"/end", url.Values{"resource": {"apps/deployer"}}); a.status >= 400 {
		t.Fatal(a.status, a.body)
	}
	if _, said := d.call("GET", "/v1/approvals/"+id, "", nil); said["status"] != "ended" || said["access_token"] != nil {
		t.Error(said)
	}
	_, made = d.call("POST", "/v1/approvals", "d", deployBody(nil))
	if status, said := d.call("POST", "/v1/approvals/"+made["id"].(string)+"/withdraw", "", nil); status != 200 || said["status"] != "withdrawn" {
		t.Error(status, said)
	}
}

// What the template does not know, and whom nobody knows, is refused, and says so.
func TestWhatAProgramMayAskFor(t *testing.T) {
	w := programWorld(t)
	d := deployer{t, w, w.url}
	for what, c := range map[string]struct {
		body   dict
		status int
		code   string
	}{
		"another template": {deployBody(dict{"template": "x"}), 400, "unknown-template"},
		"more data":        {deployBody(dict{"data": dict{"version": "v1", "cluster": "eu", "more": "x"}}), 400, "unknown-datum"},
		"less data":        {deployBody(dict{"data": dict{"version": "v1"}}), 400, "missing-datum"},
		"other data":       {deployBody(dict{"data": dict{"version": "1", "cluster": "eu"}}), 400, "bad-datum"},
		"two lines":        {deployBody(dict{"data": dict{"version": "v1", "cluster": "e\nu"}}), 400, "unsafe-datum"},
		"too long":         {deployBody(dict{"minutes": 121}), 400, "bad-duration"},
		"a callback":       {deployBody(dict{"callback": "https://169.254.169.254/"}), 400, "bad-callback"},
	} {
		if status, said := d.call("POST", "/v1/approvals", "", c.body); status != c.status || said["code"] != c.code || said["detail"] == "" {
			t.Errorf("%s: %d %v", what, status, said)
		}
	}
	if a := w.api(alice, "/api/projects/"+project+"/roles/request", dict{"entitlementId": "apps/deployer:roles/production-deploy", "peers": []string{bob}, "justification": "x",
		"activationTimeout": 5}); a.status < 400 {
		t.Error("somebody asks by hand", a.status)
	}
}

// A service for machines, wired as in production, knows no one in person; tokens for its own
// origin are good there, and links lead to where people are.
func TestAServiceForMachinesAlone(t *testing.T) {
	w := programWorld(t)
	w.restart(map[string]string{"SERVE": "machines", "MACHINES_URL": w.url, "PUBLIC_URL": "https://access.example.com"})
	d := deployer{t, w, w.url}
	d.w.public = w.url
	status, made := d.call("POST", "/v1/approvals", "a", deployBody(nil))
	if status != http.StatusAccepted || !strings.HasPrefix(made["url"].(string), "https://access.example.com/") {
		t.Fatal(status, made)
	}
	for _, path := range []string{"/", "/requests", "/review?activation=" + made["id"].(string), "/api/policy", "/apps", "/passkeys"} {
		if a := w.page(bob, path); a.status != http.StatusNotFound || !strings.Contains(a.body, "urn:jitaccess:problem:not-found") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := w.page("", "/health/ready"); a.status != http.StatusOK {
		t.Error(a.status, a.body)
	}
}
