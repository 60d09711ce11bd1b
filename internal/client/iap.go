package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"jitaccess/internal/lazyregexp"
)

var serviceAccount = lazyregexp.New(`^[a-z0-9][a-z0-9-]*@[a-z0-9.:-]+\.gserviceaccount\.com$`)

// oauthClient guards commands that are said for somebody to type.
var oauthClient = lazyregexp.New(`^[A-Za-z0-9._-]{1,200}$`)

// byGcloud has Google's command line make an identity token. Of a person that is one for gcloud's own
// OAuth client, since theirs cannot be made for another; of a service account for the client that IAP
// takes (https://cloud.google.com/sdk/gcloud/reference/auth/print-identity-token).
func (s SignIn) byGcloud(ctx context.Context) (string, error) {
	args := []string{"auth", "print-identity-token", "--quiet"}
	if s.Impersonate != "" {
		if !serviceAccount().MatchString(s.Impersonate) {
			return "", fmt.Errorf("%q is not the address of a service account", s.Impersonate)
		}
		audience := s.Audience
		if audience == "" {
			var err error
			if audience, err = s.clientOfIAP(ctx); err != nil {
				return "", err
			}
		}
		args = append(args, "--impersonate-service-account="+s.Impersonate, "--audiences="+audience, "--include-email")
	}
	text, err := s.Run(ctx, "gcloud", args...)
	if err != nil {
		return "", fmt.Errorf("gcloud %s: %w; it must be installed and logged in (gcloud auth login)", args[1], err)
	}
	return clean(text)
}

// clientOfIAP is the OAuth client with which IAP signs browsers in: it stands in the address to
// which it leads them.
func (s SignIn) clientOfIAP(ctx context.Context) (string, error) {
	service := Service{Origin: s.Origin, Transport: s.Transport}
	response, err := service.send(ctx, request{path: "/", header: http.Header{"Accept": {"text/html"}}})
	if err != nil {
		return "", err
	}
	response.Body.Close()
	location, err := url.Parse(response.Header.Get("Location"))
	if err != nil || location.Hostname() != "accounts.google.com" || !oauthClient().MatchString(location.Query().Get("client_id")) {
		return "", fmt.Errorf("%s does not say which OAuth client it takes tokens for (it answered %d): name it with --audience CLIENT_ID",
			s.Origin, response.StatusCode)
	}
	return location.Query().Get("client_id"), nil
}

// refusedByIAP says what an administrator has to do. See
// https://cloud.google.com/iap/docs/sharing-oauth-clients, "Programmatic access", and for what the file
// replaces https://cloud.google.com/iap/docs/reference/rest/v1/TopLevel/updateIapSettings.
func (s SignIn) refusedByIAP(r *Refusal, t Token) error {
	var said struct{ Aud, Email string }
	_ = json.Unmarshal(payloadOf(t.Value), &said)
	if r.Status == http.StatusForbidden {
		return fmt.Errorf("Identity-Aware Proxy lets %s not in: %w. The role that lets in is roles/iap.httpsResourceAccessor",
			cmp.Or(said.Email, "you"), r)
	}
	if !r.SignedOut() {
		return r
	}
	return errors.Join(fmt.Errorf("Identity-Aware Proxy takes no tokens for the client %s: %w", cmp.Or(said.Aud, "that gcloud has"), r),
		fmt.Errorf(`it takes programs whose OAuth client is on its allow-list; an administrator adds it with

  gcloud iap settings get --project=PROJECT --resource-type=iap_web      # what there is: the file below replaces it
  printf 'access_settings:\n  oauth_settings:\n    programmatic_clients: ["%s"]\n' > iap.yaml
  gcloud iap settings set iap.yaml --project=PROJECT --resource-type=iap_web`, cmp.Or(said.Aud, "CLIENT_ID")))
}
