$ErrorActionPreference = "Stop"
foreach ($name in "Spooler", "XblGameSave", "MapsBroker") {
  Get-Service -Name $name -ErrorAction SilentlyContinue | Set-Service -StartupType Disabled
}
Set-Service -Name W3SVC -StartupType Automatic
