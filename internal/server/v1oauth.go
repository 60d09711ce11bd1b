package server

import (
	"net/http"
	"net/url"

	"jitaccess/internal/access"
	"jitaccess/internal/bearer"
)

// serverMetadata says where what is (RFC 8414). There is no token endpoint: who gets a token,
// gets it with the approval. How programs authenticate to introspect is named by a type of access
// tokens, Bearer, which RFC 8414, section 2, allows there and not for revoking: what may stand there
// is none of what is done here, so that nothing does.
type serverMetadata struct {
	Issuer                   string   `json:"issuer"`
	KeySet                   string   `json:"jwks_uri"`
	ResponseTypes            []string `json:"response_types_supported"`
	GrantTypes               []string `json:"grant_types_supported"`
	Introspection            string   `json:"introspection_endpoint"`
	IntrospectionAuthMethods []string `json:"introspection_endpoint_auth_methods_supported"`
	Revocation               string   `json:"revocation_endpoint"`
}

func (s *server) metadata(w http.ResponseWriter, r *http.Request) {
	issuer := s.issuer(r)
	if issuer == "" {
		s.refuse(w, r, &access.Error{Kind: access.Unprocessable, Code: access.CodeNoPublicURL, Args: access.Args{"host": printable(r.Host)}})
		return
	}
	writeJSON(w, http.StatusOK, serverMetadata{Issuer: issuer, KeySet: issuer + pathWellKnown + "/jwks.json", ResponseTypes: []string{},
		GrantTypes: []string{}, Introspection: issuer + pathV1 + "/introspect", IntrospectionAuthMethods: []string{"Bearer"},
		Revocation: issuer + pathV1 + "/revoke"})
}

func (s *server) keySet(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Write(s.Applications.Tokens.KeySet())
}

// inactive is all that is said of a token that is over, or is somebody else's, or none.
type inactive struct {
	Active bool `json:"active"`
}

// introspection is what is said of an access token while its access goes on (RFC 7662).
type introspection struct {
	Active bool `json:"active"`
	bearer.Access
	TokenType string `json:"token_type"`
}

// introspect says whether access goes on now, by the ledger and not by what the token says.
func (s *server) introspect(r *http.Request) (any, error) {
	q, said, err := s.tokenInForm(r)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	if q.StateAt(now) != access.Active || said.Expires != q.Window.End.Unix() {
		return inactive{}, nil
	}
	answer := s.accessOf(r, q, now)
	answer.IssuedAt = said.IssuedAt
	return introspection{Active: true, Access: answer, TokenType: "Bearer"}, nil
}

// revoke ends access early. What is over already, or never was, is revoked (RFC 7009, section
// 2.2).
func (s *server) revoke(r *http.Request) (any, error) {
	q, _, err := s.tokenInForm(r)
	if err != nil || q.StateAt(s.Now()) != access.Active {
		return struct{}{}, err
	}
	ended, err := s.Applications.Broker.End(r.Context(), callerOf(r), q.Resource, q.ID, q.Principal)
	if err != nil {
		return nil, err
	}
	for _, o := range ended.Outcomes {
		if o.Result == access.Refused {
			return nil, o.Err
		}
	}
	return struct{}{}, nil
}

// tokenInForm reads the access token of a form, and the request that it is of; a zero one where
// it is none of this application's.
func (s *server) tokenInForm(r *http.Request) (q access.Request, said bearer.Access, err error) {
	f, err := form(r)
	if err != nil {
		return q, said, err
	}
	tokens := url.Values(f)["token"]
	if len(tokens) != 1 {
		return q, said, misplaced("token", "token must be there once")
	}
	said, unknown := s.Applications.Tokens.Verify(tokens[0])
	if unknown != nil {
		return q, said, nil
	}
	q, err = s.theirs(r, said.ID)
	if e := access.AsError(err); e != nil && e.Kind == access.NotFound {
		return access.Request{}, said, nil
	}
	return q, said, err
}
