package shadow

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/loopback"
	"jitaccess/internal/outbound"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 8 << 20

// Service is a side that is reached through its JSON interface, which both have, as each person by
// a token of theirs.
type Service struct {
	client *http.Client
	url    string
	tokens map[access.Principal]string
}

// NewService makes a Service. address is its origin: https, or http on this machine. Redirects are not
// followed, so that a token goes nowhere else. Where a token says whose it is, that must be the
// person whose it is said to be.
func NewService(client *http.Client, address string, tokens map[access.Principal]string) (*Service, error) {
	u, err := url.Parse(strings.TrimSuffix(address, "/"))
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" ||
		u.Scheme != "https" && !(u.Scheme == "http" && loopback.Is(u.Hostname())) {
		return nil, fmt.Errorf("%.100q is not the origin of a service: https://HOST", address)
	}
	for person, token := range tokens {
		if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, fmt.Errorf("the token of %s is not one: it has spaces or line breaks", person)
		}
		if email := emailIn(token); email != "" && access.FoldASCII(email) != string(person) {
			return nil, fmt.Errorf("the token of %s is one of %s", person, email)
		}
	}
	return &Service{client, u.Scheme + "://" + u.Host, tokens}, nil
}

// emailIn is whose a JSON Web Token says that it is; empty where it does not. It is not verified:
// that is for who takes it. Here it keeps the files of two people from being mistaken for each other.
func emailIn(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	var claims struct{ Email string }
	if err != nil || json.Unmarshal(text, &claims) != nil {
		return ""
	}
	return claims.Email
}

// get reads a part of the JSON interface as a person.
func (s *Service) get(ctx context.Context, person access.Principal, path string, into any) error {
	token := s.tokens[person]
	if token == "" {
		return errors.New("there is no token of theirs")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("X-JITACCESS", "1")
	request.Header.Set("Accept", "application/json")
	answer, err := s.client.Do(request)
	if err != nil {
		return outbound.WithoutAddress(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(outbound.Bound(answer.Body, maxAnswer))
	if err != nil {
		return err
	}
	if answer.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, into); err != nil {
			return errors.New("the answer is not JSON: is this address that of the service?")
		}
		return nil
	}
	return refusal(answer, body)
}

// refusal says what a refusal means. The header is Identity-Aware Proxy's
// (https://cloud.google.com/iap/docs/faq).
func refusal(answer *http.Response, body []byte) error {
	var said struct{ Message string }
	json.Unmarshal(body, &said)
	text := access.Clip(strings.Join(strings.Fields(said.Message), " "), 300)
	proxy := answer.Header.Get("X-Goog-IAP-Generated-Response") != ""
	switch status := answer.StatusCode; {
	case status >= 300 && status < 400:
		return fmt.Errorf("%d: it asks to sign in, so the token counts for nothing there: "+
			"its audience must be a client that the proxy lets programs use", status)
	case status == http.StatusUnauthorized:
		return fmt.Errorf("401: the token is not taken: it has ended, or its audience is no client that the proxy lets programs use")
	case proxy && status == http.StatusForbidden:
		return errors.New("403 of Identity-Aware Proxy: the person lacks iap.webServiceVersions.accessViaIAP (roles/iap.httpsResourceAccessor)")
	case text == "":
		return fmt.Errorf("%d: %s", status, access.Clip(strings.Join(strings.Fields(string(bytes.ToValidUTF8(body, nil))), " "), 100))
	default:
		return fmt.Errorf("%d: %s", status, text)
	}
}

// Is asks the service whom it takes the token's owner for.
func (s *Service) Is(ctx context.Context, person access.Principal) error {
	var policy struct{ SignedInUser struct{ Email string } }
	if err := s.get(ctx, person, "/api/policy", &policy); err != nil {
		return err
	}
	if is := policy.SignedInUser.Email; access.FoldASCII(is) != string(person) {
		return fmt.Errorf("the token is that of %s, and nothing was asked with it", is)
	}
	return nil
}

// Projects returns what the service lists.
func (s *Service) Projects(ctx context.Context, person access.Principal) ([]string, error) {
	var list struct{ Projects []string }
	err := s.get(ctx, person, "/api/projects", &list)
	return list.Projects, err
}

// Roles returns what may be activated.
func (s *Service) Roles(ctx context.Context, person access.Principal, project string) (Roles, error) {
	var list struct {
		Warnings     []string
		Entitlements []struct{ ID, ActivationType string }
	}
	if err := s.get(ctx, person, "/api/projects/"+url.PathEscape(project)+"/roles", &list); err != nil {
		return Roles{}, err
	}
	roles := Roles{Warnings: list.Warnings}
	for _, e := range list.Entitlements {
		id, err := access.ParseEntitlementID(e.ID)
		if err != nil {
			return Roles{}, fmt.Errorf("%.100q is not the id of a role", e.ID)
		}
		// The catalog PolicyAnalyzer of 1.x also answers of what else an analysis finds.
		if of, ok := id.Resource.ProjectID(); ok && of == project {
			roles.Roles = append(roles.Roles, Role{e.ID, string(id.Role), id.Condition, e.ActivationType})
		}
	}
	return roles, nil
}

// Reviewers returns who may be asked to approve.
func (s *Service) Reviewers(ctx context.Context, person access.Principal, project, id string) ([]string, error) {
	var list struct{ Peers []struct{ Email string } }
	err := s.get(ctx, person, "/api/projects/"+url.PathEscape(project)+"/peers?id="+url.QueryEscape(id), &list)
	return access.Each(list.Peers, func(p struct{ Email string }) string { return p.Email }), err
}

// ReadOnly lets through what changes nothing, and fails all else without making the call: a shadow
// writes nothing, whatever is wrong with it.
func ReadOnly(next http.RoundTripper) http.RoundTripper { return readOnly{next} }

type readOnly struct{ next http.RoundTripper }

// reads are the methods of Google's that only read, and are called by POST.
var reads = []string{":getIamPolicy", ":testIamPermissions", ":generateAccessToken"}

func (t readOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	allowed := r.Method == http.MethodGet || r.Method == http.MethodHead
	for _, method := range reads {
		allowed = allowed || r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, method)
	}
	if !allowed {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, fmt.Errorf("a shadow does not call %s %s", r.Method, r.URL.Path)
	}
	return t.next.RoundTrip(r)
}
