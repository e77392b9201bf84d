$ErrorActionPreference = "Stop"
# What Windows Update has for this server, without drivers.
$session = New-Object -ComObject Microsoft.Update.Session
$found = $session.CreateUpdateSearcher().Search("IsInstalled=0 and Type='Software' and IsHidden=0")
if ($found.Updates.Count -gt 0) {
  $loader = $session.CreateUpdateDownloader()
  $loader.Updates = $found.Updates
  $loader.Download() | Out-Null
  $installer = $session.CreateUpdateInstaller()
  $installer.Updates = $found.Updates
  $result = $installer.Install()
  if ($result.ResultCode -gt 3) { throw "updates ended with $($result.ResultCode)" }
}
