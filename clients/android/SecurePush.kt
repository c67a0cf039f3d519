// The client of an Android app: com.google.firebase:firebase-messaging and androidx.work:work-runtime-ktx, nothing else.
package com.example.securepush

import android.Manifest
import android.annotation.SuppressLint
import android.app.NotificationChannel
import android.app.NotificationManager
import android.content.Context
import android.content.pm.PackageManager
import android.os.Build
import androidx.core.app.NotificationCompat
import androidx.core.app.NotificationManagerCompat
import androidx.core.content.ContextCompat
import java.io.IOException
import java.net.HttpURLConnection
import java.net.URL
import java.net.URLEncoder
import java.util.UUID
import org.json.JSONException
import org.json.JSONObject

sealed interface Fetched {
    /** `text` comes from the payload, whose form your back end decides; null if the payload has no such text. */
    data class Notification(val id: String, val text: String?) : Fetched

    /** No token, or one that the service does not accept. */
    data object SignInNeeded : Fetched

    /** Expired, deleted, or another user's: the service does not say which. */
    data object Gone : Fetched

    /** No network, or the service failed: try again. */
    data object Unavailable : Fetched
}

/** `readToken` gives the user's access token from the app's identity library; null if nobody is signed in. It may block. */
class SecurePush(private val context: Context, private val readToken: () -> String?) {

    /** Blocks; at most about ten seconds. */
    fun fetch(id: String): Fetched {
        val token = readToken() ?: return Fetched.SignInNeeded
        return try {
            val (status, body) = call("GET", "notifications/${encode(id)}", token)
            when (status) {
                200 -> Fetched.Notification(id, readText(body))
                401, 403 -> Fetched.SignInNeeded
                404 -> Fetched.Gone
                else -> Fetched.Unavailable
            }
        } catch (_: IOException) {
            Fetched.Unavailable
        }
    }

    /** Call it at each start of the app, after sign-in, and in onNewToken. Blocks. Answers whether it is registered. */
    fun register(deviceToken: String): Boolean {
        val token = readToken() ?: return false
        val body = JSONObject().put("platform", "fcmv1").put("pushChannel", deviceToken)
        return try {
            call("PUT", "installations/${installationId()}", token, body.toString()).first in 200..202
        } catch (_: IOException) {
            false
        }
    }

    /** Shows the payload, or the generic text. The ID is the tag: what comes later for the same ID replaces it. */
    fun show(id: String, fetched: Fetched) {
        when (fetched) {
            is Fetched.Notification -> if (fetched.text == null) showGeneric(id) else show(id, "New result", fetched.text)
            Fetched.SignInNeeded, Fetched.Unavailable -> showGeneric(id)
            Fetched.Gone -> Unit
        }
    }

    private fun showGeneric(id: String) = show(id, "You have a new message", "Open the app to read it.")

    @SuppressLint("MissingPermission") // checked below; before Android 13 there was no such permission
    private fun show(id: String, title: String, text: String) {
        val manager = NotificationManagerCompat.from(context)
        val isAllowed = Build.VERSION.SDK_INT < 33 ||
            ContextCompat.checkSelfPermission(context, Manifest.permission.POST_NOTIFICATIONS) ==
            PackageManager.PERMISSION_GRANTED
        if (!isAllowed) return
        manager.createNotificationChannel(NotificationChannel(CHANNEL, "Messages", NotificationManager.IMPORTANCE_HIGH))
        val notification = NotificationCompat.Builder(context, CHANNEL)
            .setSmallIcon(android.R.drawable.ic_dialog_email)
            .setContentTitle(title)
            .setContentText(text)
            .setVisibility(NotificationCompat.VISIBILITY_PRIVATE) // a locked screen shows no content
            .setOnlyAlertOnce(true)
            .build()
        manager.notify(id, 0, notification)
    }

    private fun call(method: String, path: String, token: String, body: String? = null): Pair<Int, String> {
        val connection = URL(API + path).openConnection() as HttpURLConnection
        try {
            connection.requestMethod = method
            connection.connectTimeout = 4_000
            connection.readTimeout = 6_000
            connection.instanceFollowRedirects = false
            connection.setRequestProperty("authorization", "Bearer $token")
            if (body != null) {
                connection.doOutput = true
                connection.setRequestProperty("content-type", "application/json")
                connection.outputStream.use { it.write(body.toByteArray()) }
            }
            val status = connection.responseCode
            val stream = if (status < 400) connection.inputStream else connection.errorStream
            return status to (stream?.use { it.readBytes().decodeToString() } ?: "")
        } finally {
            connection.disconnect()
        }
    }

    private fun readText(body: String): String? = try {
        JSONObject(body).getJSONObject("payload").getString("text")
    } catch (_: JSONException) {
        null
    }

    /** Made once. Keep these preferences out of backups, or a restored phone takes the pushes of the old one. */
    private fun installationId(): String {
        val preferences = context.getSharedPreferences("secure-push", Context.MODE_PRIVATE)
        preferences.getString("installationId", null)?.let { return it }
        return UUID.randomUUID().toString().also { preferences.edit().putString("installationId", it).apply() }
    }

    private fun encode(text: String) = URLEncoder.encode(text, "UTF-8")

    private companion object {
        const val API = "https://APP.azurewebsites.net/api/"
        const val CHANNEL = "messages"
    }
}
