package identity_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/identity"
	"jitaccess/internal/jose"
)

// Keys come from where the operator says, or from where the issuer itself says, and nobody
// sends the service elsewhere (incident 15).
func TestThreat25_KeysComeFromTheIssuer(t *testing.T) {
	good := keyServer(t)
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	is := func(pattern, body string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) })
	}
	discovery := func(issuer, keys string) string { return text(claims{"issuer": issuer, "jwks_uri": keys}) }
	const path = "/.well-known/openid-configuration"
	is("/good"+path, discovery(server.URL+"/good", good.URL+"/keys"))
	is("/slash/"+path[1:], discovery(server.URL+"/slash/", good.URL+"/keys"))
	is("/other"+path, discovery("https://evil.example", good.URL+"/keys"))
	is("/cased"+path, discovery(strings.ToUpper(server.URL)+"/cased", good.URL+"/keys"))
	is("/plain"+path, discovery(server.URL+"/plain", "http://keys.example.com/keys"))
	is("/file"+path, discovery(server.URL+"/file", "file:///etc/passwd"))
	is("/none"+path, discovery(server.URL+"/none", ""))
	is("/twice"+path, `{"issuer":"x",`+discovery(server.URL+"/twice", good.URL+"/keys")[1:])
	is("/text"+path, "no")
	is("/long", strings.Repeat(" ", 300<<10))
	mux.Handle("/sent", http.RedirectHandler(good.URL+"/keys", http.StatusFound))
	mux.Handle("/sent-on"+path, http.RedirectHandler(server.URL+"/good"+path, http.StatusMovedPermanently))
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); w.Write([]byte("{}")) })
	for name, test := range map[string]struct {
		fetch jose.Fetch
		ok    bool
	}{
		"an address":                  {identity.FetchKeys(good.URL + "/keys"), true},
		"an issuer":                   {identity.FetchKeysOf(server.URL + "/good"), true},
		"an issuer with a slash":      {identity.FetchKeysOf(server.URL + "/slash/"), true},
		"another issuer":              {identity.FetchKeysOf(server.URL + "/other"), false},
		"another spelling of it":      {identity.FetchKeysOf(server.URL + "/cased"), false},
		"keys by http":                {identity.FetchKeysOf(server.URL + "/plain"), false},
		"keys in a file":              {identity.FetchKeysOf(server.URL + "/file"), false},
		"no keys":                     {identity.FetchKeysOf(server.URL + "/none"), false},
		"two issuers in one document": {identity.FetchKeysOf(server.URL + "/twice"), false},
		"no document":                 {identity.FetchKeysOf(server.URL + "/text"), false},
		"no issuer there":             {identity.FetchKeysOf(server.URL + "/nowhere"), false},
		"sent elsewhere":              {identity.FetchKeys(server.URL + "/sent"), false},
		"an issuer that moved":        {identity.FetchKeysOf(server.URL + "/sent-on"), false},
		"too long":                    {identity.FetchKeys(server.URL + "/long"), false},
		"an error with a document":    {identity.FetchKeys(server.URL + "/broken"), false},
		"nobody there":                {identity.FetchKeys("http://127.0.0.1:1/keys"), false},
	} {
		document, err := test.fetch(t.Context())
		if (err == nil) != test.ok || strings.HasPrefix(name, "keys ") && !strings.Contains(err.Error(), "names no https address") {
			t.Errorf("%s: %.80s, %v", name, document, err)
		}
	}
}

func TestAhead(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", map[string]string{"/": now.UTC().Format(http.TimeFormat), "/text": "noon"}[r.URL.Path])
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(server.Close)
	if ahead, known := identity.Ahead(t.Context(), server.URL+"/", func() time.Time { return now.Add(90 * time.Second) }); ahead != 90*time.Second || !known {
		t.Errorf("%v, %t", ahead, known)
	}
	for _, address := range []string{server.URL + "/text", "http://127.0.0.1:1/", "", ":"} {
		if ahead, known := identity.Ahead(t.Context(), address, clock); known {
			t.Errorf("%s: %v", address, ahead)
		}
	}
}

// The key server of load balancers: what it does not have is a bad assertion, and that it
// does not answer is nobody's fault.
func TestKeysOfLoadBalancers(t *testing.T) {
	var status, asked atomic.Int32
	good := keyServer(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if s := status.Load(); s != 0 {
			w.WriteHeader(int(s))
			return
		}
		good.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	alb := fronts(t)[2]
	for s, code := range map[int32]access.Code{403: access.CodeBadIdentity, 404: access.CodeBadIdentity, 500: access.CodeUpstreamFailed, 429: access.CodeUpstreamFailed} {
		alb.keys = identity.ALBKeys(server.URL, clock)
		status.Store(s)
		_, err := alb.verifier(t).Identify(alb.request(alb.edit(nil)))
		if e := access.AsError(err); e == nil || e.Code != code {
			t.Errorf("status %d: %v", s, err)
		}
	}
	status.Store(0)
	asked.Store(0)
	alb.keys = identity.ALBKeys(server.URL, clock)
	v := alb.verifier(t)
	for _, kid := range []string{"../keys", albKey + "/", strings.ToUpper("abcdef12") + albKey[8:], "", albKey + "\n", "%2e%2e/" + albKey} {
		if _, err := v.Identify(alb.request(alb.sign(alb.head(claims{"kid": kid}), text(alb.claims)))); err == nil || asked.Load() != 0 {
			t.Errorf("%q: %v, asked %d times", kid, err, asked.Load())
		}
	}
	for range 3 {
		if _, err := v.Identify(alb.request(alb.edit(nil))); err != nil || asked.Load() != 1 {
			t.Errorf("%v, asked %d times", err, asked.Load())
		}
	}
	if err := v.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	// Without an endpoint it is AWS's, by region.
	for region, want := range map[string]string{
		"eu-central-1":  "public-keys.auth.elb.eu-central-1.amazonaws.com/" + albKey,
		"us-gov-west-1": "s3-us-gov-west-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-west-1/" + albKey,
	} {
		if got := identity.ALBKeyServer(strings.Replace(arn, "eu-central-1", region, 1)); got+"/"+albKey != "https://"+want {
			t.Errorf("%s: %s", region, got)
		}
	}
}
