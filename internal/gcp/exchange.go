package gcp

import (
	"fmt"
	"io"
	"net/http"

	"google.golang.org/api/googleapi"
)

// Exchange makes one call that no library of Google's makes for us, and returns the body
// of the answer, which must be of at most max bytes. An answer that is not 200 is a
// *googleapi.Error.
func Exchange(client *http.Client, r *http.Request, max int) ([]byte, error) {
	response, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(max)+1))
	if response.StatusCode != http.StatusOK {
		if err := googleapi.CheckResponseWithBody(response, body); err != nil {
			return nil, err
		}
		// Not an error to Google's library, such as a redirection.
		return nil, &googleapi.Error{Code: response.StatusCode, Body: string(body), Header: response.Header}
	}
	if err == nil && len(body) > max {
		err = fmt.Errorf("an answer of more than %d bytes", max)
	}
	return body, err
}
