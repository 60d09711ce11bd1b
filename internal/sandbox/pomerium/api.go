package pomerium

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	apiRoot = "/api/v0"
	maxBody = 64 << 20
)

// reply is an answer of the API.
type reply struct {
	status int
	body   any
}

func refuse(status int, text string) reply { return reply{status, map[string]string{"error": text}} }

// API serves the API under /api/v0.
func (z *Zero) API() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]func(*http.Request, []byte) reply{
		"POST " + apiRoot + "/token":                                              z.giveToken,
		"GET " + apiRoot + "/organizations/{organization}/policies":               z.authorized(z.listPolicies),
		"POST " + apiRoot + "/organizations/{organization}/policies":              z.authorized(z.createPolicy),
		"GET " + apiRoot + "/organizations/{organization}/policies/{id}":          z.authorized(z.getPolicy),
		"PUT " + apiRoot + "/organizations/{organization}/policies/{id}":          z.authorized(z.putPolicy),
		"GET " + apiRoot + "/organizations/{organization}/changesets":             z.authorized(z.listChangesets),
		"POST " + apiRoot + "/organizations/{organization}/changesets/{id}/apply": z.authorized(z.applyChangeset),
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { z.serve(w, r, serve) })
	}
	return mux
}

// serve answers a call, or fails as it is told to.
func (z *Zero) serve(w http.ResponseWriter, r *http.Request, serve func(*http.Request, []byte) reply) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "the body could not be read", http.StatusBadRequest)
		return
	}
	fault, hit := z.faults.hit(r)
	answer := reply{fault.Status, map[string]string{"error": "as it was told to"}}
	if fault.Status == 0 {
		answer = serve(r, body)
	}
	if fault.Then != nil {
		fault.Then()
	}
	z.mu.Lock()
	z.sent = append(z.sent, Exchange{r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), r.Header.Get("Content-Type"), string(body), answer.status})
	z.mu.Unlock()
	text, err := encode(answer.body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if hit && fault.Body != "" {
		text = []byte(fault.Body)
	}
	if hit && fault.Lose {
		panic(http.ErrAbortHandler)
	}
	if fault.RetryAfter != "" {
		w.Header().Set("Retry-After", fault.RetryAfter)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(answer.status)
	if hit && fault.Cut {
		_, _ = w.Write(text[:len(text)/2])
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(text)
}

// encode keeps a text that is JSON already as it is.
func encode(body any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(body)
	return b.Bytes(), err
}

func (z *Zero) giveToken(_ *http.Request, body []byte) reply {
	var form struct{ RefreshToken string }
	if json.Unmarshal(body, &form) != nil || form.RefreshToken != z.refreshToken {
		return refuse(http.StatusUnauthorized, "invalid refresh token")
	}
	id, err := z.id()
	if err != nil {
		return refuse(http.StatusInternalServerError, err.Error())
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.tokens["id-"+id] = z.now().Add(tokenLife)
	return reply{http.StatusOK, map[string]string{"expiresInSeconds": strconv.Itoa(int(tokenLife / time.Second)), "idToken": "id-" + id}}
}

// authorized serves those whose token is good, and what is of this organization.
func (z *Zero) authorized(serve func(*http.Request, []byte) reply) func(*http.Request, []byte) reply {
	return func(r *http.Request, body []byte) reply {
		z.mu.Lock()
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		until, known := z.tokens[token]
		z.mu.Unlock()
		switch {
		case !bearer || !known || !z.now().Before(until):
			return refuse(http.StatusUnauthorized, "unauthorized")
		case r.PathValue("organization") != z.organization:
			return refuse(http.StatusForbidden, "not a member of the organization")
		}
		return serve(r, body)
	}
}

// form is a policy as the API shows it.
type form struct {
	CreatedAt      string              `json:"createdAt"`
	Description    string              `json:"description"`
	Enforced       bool                `json:"enforced"`
	EnforcedRoutes []string            `json:"enforcedRoutes"`
	Explanation    string              `json:"explanation"`
	ID             string              `json:"id"`
	Name           string              `json:"name"`
	NamespaceID    string              `json:"namespaceId"`
	PPL            json.RawMessage     `json:"ppl"`
	Remediation    string              `json:"remediation"`
	Routes         []map[string]string `json:"routes"`
	UpdatedAt      string              `json:"updatedAt"`
}

func formOf(p *policy) form {
	return form{CreatedAt: p.Created.UTC().Format(time.RFC3339), Description: p.Description, Enforced: p.Enforced, EnforcedRoutes: []string{},
		Explanation: p.Explanation, ID: p.ID, Name: p.Name, NamespaceID: p.NamespaceID, PPL: p.PPL, Remediation: p.Remediation,
		Routes: []map[string]string{}, UpdatedAt: p.Updated.UTC().Format(time.RFC3339Nano)}
}

func (z *Zero) listPolicies(r *http.Request, _ []byte) reply {
	z.mu.Lock()
	defer z.mu.Unlock()
	all := []form{}
	for _, p := range z.policies {
		if n := r.FormValue("namespaceId"); n == "" || n == p.NamespaceID {
			all = append(all, formOf(p))
		}
	}
	return reply{http.StatusOK, all}
}

// update is what a policy is written with: all of it.
type update struct {
	Description *string         `json:"description"`
	Enforced    *bool           `json:"enforced"`
	Explanation *string         `json:"explanation"`
	Name        *string         `json:"name"`
	NamespaceID *string         `json:"namespaceId"`
	PPL         json.RawMessage `json:"ppl"`
	Remediation *string         `json:"remediation"`
}

// into writes it over a policy; the reason is why it cannot be.
func (u update) into(p *policy) (reason string) {
	for name, missing := range map[string]bool{"description": u.Description == nil, "enforced": u.Enforced == nil, "explanation": u.Explanation == nil,
		"name": u.Name == nil, "namespaceId": u.NamespaceID == nil, "ppl": u.PPL == nil, "remediation": u.Remediation == nil} {
		if missing {
			return "request body has an error: property \"" + name + "\" is missing"
		}
	}
	if _, err := rules(u.PPL); err != nil {
		return "invalid ppl: " + err.Error()
	}
	p.Description, p.Enforced, p.Explanation, p.Name = *u.Description, *u.Enforced, *u.Explanation, *u.Name
	p.NamespaceID, p.PPL, p.Remediation = *u.NamespaceID, u.PPL, *u.Remediation
	return ""
}

func (z *Zero) createPolicy(_ *http.Request, body []byte) reply {
	var u update
	id, err := z.id()
	if err != nil {
		return refuse(http.StatusInternalServerError, err.Error())
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	p := &policy{ID: id, Created: z.now(), Updated: z.now()}
	if err := json.Unmarshal(body, &u); err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	if reason := u.into(p); reason != "" {
		return refuse(http.StatusBadRequest, reason)
	}
	z.policies = append(z.policies, p)
	if err := z.changed(); err != nil {
		return refuse(http.StatusInternalServerError, err.Error())
	}
	return reply{http.StatusCreated, formOf(p)}
}

func (z *Zero) getPolicy(r *http.Request, _ []byte) reply {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, p := range z.policies {
		if p.ID == r.PathValue("id") {
			return reply{http.StatusOK, formOf(p)}
		}
	}
	return refuse(http.StatusNotFound, "not found")
}

func (z *Zero) putPolicy(r *http.Request, body []byte) reply {
	var u update
	if err := json.Unmarshal(body, &u); err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	at := slices.IndexFunc(z.policies, func(p *policy) bool { return p.ID == r.PathValue("id") })
	if at < 0 {
		return refuse(http.StatusNotFound, "not found")
	}
	p := z.policies[at]
	if reason := u.into(p); reason != "" {
		return refuse(http.StatusBadRequest, reason)
	}
	p.Updated = z.now()
	if err := z.changed(); err != nil {
		return refuse(http.StatusInternalServerError, err.Error())
	}
	return reply{http.StatusOK, formOf(p)}
}

// changesetForm is a changeset as the API shows it.
type changesetForm struct {
	CreatedAt   string `json:"createdAt"`
	ID          string `json:"id"`
	NamespaceID string `json:"namespaceId"`
	Status      string `json:"status"`
	UpdatedAt   string `json:"updatedAt"`
}

func (z *Zero) listChangesets(r *http.Request, _ []byte) reply {
	z.mu.Lock()
	defer z.mu.Unlock()
	all := []changesetForm{}
	for _, c := range z.changesets {
		if status := r.FormValue("status"); (status == "" || status == c.Status) && r.FormValue("clusterId") == z.cluster {
			all = append(all, changesetForm{c.Created.UTC().Format(time.RFC3339), c.ID, z.cluster, c.Status, c.Updated.UTC().Format(time.RFC3339)})
		}
	}
	return reply{http.StatusOK, all}
}

func (z *Zero) applyChangeset(r *http.Request, _ []byte) reply {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, c := range z.changesets {
		if c.ID == r.PathValue("id") && c.Status == "pending" {
			z.apply(c)
			return reply{http.StatusOK, struct{}{}}
		}
	}
	return refuse(http.StatusNotFound, "not found")
}
