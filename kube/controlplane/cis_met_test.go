// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// TestCIS: every check is met by both roles, and by a database of three members.
func TestCIS(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"tenant": func(o *Options) { o.Role = RoleTenant },
		"three":  func(o *Options) { replicate(o, "control-plane-1") },
		"super":  func(o *Options) { o.Role = RoleSuper },
	} {
		emitted := emit(t, change)
		for _, check := range cisChecks {
			if !check.met(emitted) {
				t.Errorf("%s: CIS %s is not met: %s", name, check.id, check.about)
			}
		}
	}
}

// TestCISIsComplete: the sections' checks are numbered without a gap. Their
// number is the benchmark's.
func TestCISIsComplete(t *testing.T) {
	count := map[string]int{}
	for _, check := range cisChecks {
		section := check.id[:strings.LastIndex(check.id, ".")]
		count[section]++
		if want := section + "." + strconv.Itoa(count[section]); check.id != want {
			t.Errorf("check %s stands where %s is expected", check.id, want)
		}
	}
	if diff := cmp.Diff(map[string]int{"1.2": 30, "1.3": 7, "2": 7}, count); diff != "" {
		t.Errorf("checks by section (-want +got):\n%s", diff)
	}
}

// TestCISIsDocumented: docs/security.md explains the same checks.
func TestCISIsDocumented(t *testing.T) {
	document, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented, tested []string
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+(?:\.\d+)+) \| \S`).FindAllSubmatch(document, -1) {
		documented = append(documented, string(row[1]))
	}
	for _, check := range cisChecks {
		tested = append(tested, check.id)
	}
	if diff := cmp.Diff(tested, documented); diff != "" {
		t.Errorf("checks in docs/security.md (-tested +documented):\n%s", diff)
	}
}

func emit(t *testing.T, change func(*Options)) emitted {
	t.Helper()
	o := validOptions()
	change(o)
	etcd, err := etcdConfig(o, "")
	if err != nil {
		t.Fatal(err)
	}
	return emitted{
		options: o, etcd: etcd,
		apiserver:         flagsOf(t, apiserverArgs(o, testFiles)),
		controllerManager: flagsOf(t, controllerManagerArgs(o, "kubeconfig")),
	}
}

// flagsOf reads --name=value. A flag that is given twice is a defect: the
// programs take the last, or both.
func flagsOf(t *testing.T, args []string) flagValues {
	t.Helper()
	flags := flagValues{}
	for _, arg := range args {
		name, value, ok := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if _, twice := flags[name]; twice || !ok {
			t.Errorf("flag %s has no value, or two", arg)
		}
		flags[name] = value
	}
	return flags
}

func notHTTPS(u url.URL) bool { return u.Scheme != "https" }

func admits(plugin string) func(emitted) bool {
	return func(e emitted) bool {
		return slices.Contains(e.apiserver.list("enable-admission-plugins"), plugin) &&
			!slices.Contains(e.apiserver.list("disable-admission-plugins"), plugin)
	}
}

func notDisabled(plugin string) func(emitted) bool {
	return func(e emitted) bool {
		return !slices.Contains(e.apiserver.list("disable-admission-plugins"), plugin)
	}
}

func authorizes(mode string) func(emitted) bool {
	return func(e emitted) bool { return slices.Contains(e.apiserver.list("authorization-mode"), mode) }
}

// anonymousForHealthOnly reads the authentication configuration: the flag
// --anonymous-auth may not be given beside it, and would be all or nothing.
func anonymousForHealthOnly(e emitted) bool {
	var config struct {
		Anonymous struct {
			Enabled    bool
			Conditions []struct{ Path string }
		}
	}
	if err := yaml.Unmarshal([]byte(authenticationConfig), &config); err != nil {
		return false
	}
	for _, condition := range config.Anonymous.Conditions {
		if !slices.Contains([]string{"/livez", "/readyz", "/healthz"}, condition.Path) {
			return false
		}
	}
	return len(config.Anonymous.Conditions) > 0 && // none would mean every path
		e.apiserver["authentication-config"] == testFiles.authentication && e.apiserver.unset("anonymous-auth")
}

func encryptsWithSecretbox(emitted) bool {
	content, err := encryptionConfiguration([][]byte{make([]byte, encryptionKeySize)})
	var config struct {
		Resources []struct {
			Resources []string
			Providers []map[string]any
		}
	}
	if err != nil || yaml.Unmarshal(content, &config) != nil || len(config.Resources) != 1 {
		return false
	}
	rule := config.Resources[0]
	return slices.Equal(rule.Resources, []string{"secrets"}) && len(rule.Providers) == 2 &&
		rule.Providers[0]["secretbox"] != nil && rule.Providers[1]["identity"] != nil
}

// weak reports whether a suite lacks forward secrecy or authenticated
// encryption. The suites of TLS 1.3 have both.
func weak(suite string) bool {
	tls13 := strings.HasPrefix(suite, "TLS_AES_") || strings.HasPrefix(suite, "TLS_CHACHA20_")
	forward := tls13 || strings.HasPrefix(suite, "TLS_ECDHE_")
	return !forward || !strings.Contains(suite, "_GCM_") && !strings.Contains(suite, "CHACHA20_POLY1305")
}
