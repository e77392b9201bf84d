$ErrorActionPreference = "Stop"
Remove-Item -Recurse -Force "$env:TEMP\*" -ErrorAction SilentlyContinue
& "$env:SystemRoot\System32\Sysprep\sysprep.exe" /oobe /generalize /quiet /quit
