// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletapi

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestQueries(t *testing.T) {
	const refused = "refused"
	cases := map[string]struct {
		endpoint endpoint
		kubelet  string
		want     string
	}{
		"logs": {containerLogs(), "", "container=c"},
		"all of logs": {
			containerLogs(), "follow=true&previous=false&timestamps=1&sinceTime=2026-01-02T03:04:05%2B01:00&tailLines=0&limitBytes=9&stream=All",
			"container=c&follow=true&limitBytes=9&previous=false&sinceTime=2026-01-02T02%3A04%3A05Z&stream=All&tailLines=0&timestamps=true",
		},
		"logs of another container":  {containerLogs(), "container=other", refused},
		"logs without verification":  {containerLogs(), "insecureSkipTLSVerifyBackend=true", refused},
		"logs, negative lines":       {containerLogs(), "tailLines=-1", refused},
		"logs, no number":            {containerLogs(), "tailLines=1x", refused},
		"logs, no bytes":             {containerLogs(), "limitBytes=0", refused},
		"logs, no time":              {containerLogs(), "sinceTime=yesterday", refused},
		"logs, unknown stream":       {containerLogs(), "stream=both", refused},
		"logs, twice":                {containerLogs(), "follow=true&follow=false", refused},
		"logs, no boolean":           {containerLogs(), "follow=maybe", refused},
		"exec":                       {exec(), "command=ls&command=-l&output=1&error=1", "command=ls&command=-l&container=c&stderr=true&stdin=false&stdout=true"},
		"exec on a terminal":         {exec(), "command=sh&input=1&output=1&tty=1", "command=sh&container=c&stderr=false&stdin=true&stdout=true&tty=true"},
		"exec, terminal is 0":        {exec(), "command=sh&output=1&tty=0", "command=sh&container=c&stderr=false&stdin=false&stdout=true&tty=false"},
		"exec, ampersand in command": {exec(), "command=a%26stdin%3Dtrue&output=1", "command=a%26stdin%3Dtrue&container=c&stderr=false&stdin=false&stdout=true"},
		"exec without command":       {exec(), "output=1", refused},
		"exec without streams":       {exec(), "command=ls", refused},
		"exec by names of the API":   {exec(), "command=ls&stdout=true", refused},
		"exec in another container":  {exec(), "command=ls&output=1&container=other", refused},
		"attach":                     {attach(), "input=1&output=1", "container=c&stderr=false&stdin=true&stdout=true"},
		"attach with command":        {attach(), "output=1&command=ls", refused},
		"port-forward":               {portForward(), "", ""},
		"port-forward by WebSocket":  {portForward(), "port=80,443&port=1", "ports=80&ports=443&ports=1"},
		"port 0":                     {portForward(), "port=0", refused},
		"port 65535":                 {portForward(), "port=65535", "ports=65535"},
		"port 65536":                 {portForward(), "port=65536", refused},
		"port -1":                    {portForward(), "port=-1", refused},
		"port empty":                 {portForward(), "port=80,", refused},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			kubelet, err := url.ParseQuery(tc.kubelet)
			if err != nil {
				t.Fatal(err)
			}
			query, err := tc.endpoint.query(target{container: "c"}, kubelet)
			got := query.Encode()
			if err != nil {
				got = refused
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("query %q (-want +got):\n%s\n%v", tc.kubelet, diff, err)
			}
		})
	}
}
