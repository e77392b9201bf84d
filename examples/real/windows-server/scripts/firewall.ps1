$ErrorActionPreference = "Stop"
Set-NetFirewallProfile -Profile Domain, Public, Private -Enabled True
foreach ($port in 80, 443) {
  New-NetFirewallRule -DisplayName "Web $port" -Direction Inbound -Protocol TCP -LocalPort $port -Action Allow | Out-Null
}
